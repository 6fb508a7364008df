/* os/darwin/fence.c: a fence on all threads: macOS has no call for it, so core puts fences into its own calls. */
#include "darwin.h"

bool go_os_fence_init_(void) { return false; }

bool go_os_fence_all_(void) { return false; }
