is_prime <- function(n) n == 2 || all(n %% 2:max(2, floor(sqrt(n))) != 0)
primes <- Filter(is_prime, 2:49)
cat(paste(primes, collapse = " "), "\n", sep = "")
cat(sum(primes), "\n", sep = "")
