import java.util.stream.Collectors;
import java.util.stream.IntStream;

record Range(int from, int to) {
    IntStream numbers() {
        return IntStream.range(from, to);
    }
}

class Main {
    static boolean isPrime(int n) {
        return IntStream.rangeClosed(2, (int) Math.sqrt(n)).noneMatch(i -> n % i == 0);
    }

    public static void main(String[] args) {
        var primes = new Range(2, 50).numbers().filter(Main::isPrime).boxed().toList();
        System.out.println(primes.stream().map(String::valueOf).collect(Collectors.joining(" ")));
        System.out.println(primes.stream().mapToInt(Integer::intValue).sum());
    }
}
