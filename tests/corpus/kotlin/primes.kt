package numbers

import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.runBlocking

data class Checked(val number: Int, val isPrime: Boolean)

fun check(number: Int) = Checked(number, number >= 2 && (2..number).none { it * it <= number && number % it == 0 })

fun main(): Unit = runBlocking {
    val primes = (2..50).map { async { check(it) } }.awaitAll().filter { it.isPrime }.map { it.number }
    println(primes.joinToString(" "))
    println(primes.sum())
}
