/* For text_test.py: does not say where its code is. */
int bad_text_none(int x);
int bad_text_none(int x) { return x + 1; }
