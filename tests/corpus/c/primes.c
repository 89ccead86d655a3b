#include <math.h>
#include <stdbool.h>
#include <stdio.h>

static bool is_prime(int n)
{
    for (int i = 2; i <= (int)sqrt(n); i++)
        if (n % i == 0) return false;
    return true;
}

int main(void)
{
    int sum = 0;
    for (int n = 2; n < 50; n++)
        if (is_prime(n)) {
            printf("%s%d", sum ? " " : "", n);
            sum += n;
        }
    printf("\n%d\n", sum);
}
