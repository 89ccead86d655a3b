print("before")
io.stderr:write("wrong\n")
os.exit(3)
