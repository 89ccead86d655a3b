println("before")
println(stderr, "wrong")
exit(3)
