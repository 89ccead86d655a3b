$| = 1;
print "before\n";
print STDERR "wrong\n";
exit 3;
