<?php
declare(strict_types=1);

function isPrime(int $n): bool
{
    for ($i = 2; $i * $i <= $n; $i++) {
        if ($n % $i === 0) {
            return false;
        }
    }
    return true;
}

$primes = array_filter(range(2, 49), isPrime(...));
echo implode(' ', $primes), "\n", array_sum($primes), "\n";
