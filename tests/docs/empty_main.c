/* The fragments only have to compile. */
int main(void) { return 0; }
