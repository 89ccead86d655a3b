function is_prime(n,    i) {
    for (i = 2; i * i <= n; i++) if (n % i == 0) return 0
    return n > 1
}
BEGIN {
    for (n = 2; n < 50; n++) if (is_prime(n)) { line = line (line ? " " : "") n; sum += n }
    print line
    print sum
}
