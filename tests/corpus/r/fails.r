cat("before\n")
message("wrong")
quit(status = 3)
