isprime(n) = all(n % i != 0 for i in 2:isqrt(n))
primes = filter(isprime, 2:49)
println(join(primes, " "))
println(sum(primes))
