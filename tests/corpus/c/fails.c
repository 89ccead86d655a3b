#include <stdio.h>

int main(void)
{
    puts("before");
    fflush(stdout);
    fputs("wrong\n", stderr);
    return 3;
}
