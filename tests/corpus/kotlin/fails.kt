import kotlin.system.exitProcess

fun main() {
    println("before")
    System.err.println("wrong")
    exitProcess(3)
}
