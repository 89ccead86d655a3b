public final class Fails {
    public static void main(String... args) {
        System.out.println("before");
        System.err.println("wrong");
        System.exit(3);
    }
}
