#!/usr/bin/env kotlin
import kotlin.system.exitProcess

data class Result(val status: Int)

println("before")
System.err.println("wrong")
exitProcess(Result(3).status)
