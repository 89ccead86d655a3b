const isPrime = (n: number): boolean => {
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return true;
};
const primes: number[] = [];
for (let n = 2; n < 50; n++) if (isPrime(n)) primes.push(n);
console.log(primes.join(" "));
console.log(primes.reduce((a, b) => a + b));
