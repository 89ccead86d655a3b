using System;
using System.Linq;

public static class Program
{
    static bool IsPrime(int n) => Enumerable.Range(2, Math.Max(0, (int)Math.Sqrt(n) - 1)).All(i => n % i != 0);

    public static void Main(string[] args)
    {
        var primes = Enumerable.Range(2, 48).Where(IsPrime).ToList();
        Console.WriteLine(string.Join(" ", primes));
        Console.WriteLine(primes.Sum());
    }
}
