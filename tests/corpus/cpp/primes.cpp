#include <iostream>
#include <numeric>
#include <ranges>
#include <vector>

constexpr bool is_prime(int n)
{
    for (int i = 2; i * i <= n; i++)
        if (n % i == 0) return false;
    return true;
}

int main()
{
    std::vector<int> primes;
    for (int n : std::views::iota(2, 50) | std::views::filter(is_prime)) primes.push_back(n);
    for (std::size_t i = 0; i < primes.size(); i++) std::cout << (i ? " " : "") << primes[i];
    std::cout << '\n' << std::accumulate(primes.begin(), primes.end(), 0) << '\n';
}
