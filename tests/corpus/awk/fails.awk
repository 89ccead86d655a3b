BEGIN {
    print "before"
    print "wrong" > "/dev/stderr"
    exit 3
}
