use strict;
use warnings;
use List::Util qw(sum none);

my @primes = grep { my $n = $_; none { $n % $_ == 0 } 2 .. sqrt $n } 2 .. 49;
print "@primes\n", sum(@primes), "\n";
