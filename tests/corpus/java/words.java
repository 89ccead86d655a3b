import java.util.Scanner;
import java.util.TreeMap;

public class WordCount {
    public static void main(String[] args) {
        var counts = new TreeMap<String, Integer>();
        var scanner = new Scanner(System.in);
        while (scanner.hasNext()) {
            counts.merge(scanner.next(), 1, Integer::sum);
        }
        counts.forEach((word, count) -> System.out.println(word + " " + count));
    }
}
