fun main() {
    generateSequence(::readlnOrNull)
        .flatMap { it.trim().split(Regex("\\s+")) }
        .filter { it.isNotEmpty() }
        .groupingBy { it }
        .eachCount()
        .toSortedMap()
        .forEach { (word, count) -> println("$word $count") }
}
