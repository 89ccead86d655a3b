fn is_prime(n: u32) -> bool {
    (2..).take_while(|i| i * i <= n).all(|i| n % i != 0)
}

fn main() {
    let primes: Vec<u32> = (2..50).filter(|&n| is_prime(n)).collect();
    let words: Vec<String> = primes.iter().map(u32::to_string).collect();
    println!("{}\n{}", words.join(" "), primes.iter().sum::<u32>());
}
