/* For text_test.py: says where its code is, but has some elsewhere. */
#include "core/text.h"

int bad_text_hot(int x);
__attribute__((section(".text.elsewhere"))) int bad_text_hot(int x) { return x + 1; }
