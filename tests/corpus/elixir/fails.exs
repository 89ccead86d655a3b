IO.puts("before")
IO.puts(:stderr, "wrong")
System.halt(3)
