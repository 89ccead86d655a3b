#!/usr/bin/perl
use strict;
use warnings;

my %count;
while (my $line = <STDIN>) {
    $count{$_}++ for split ' ', $line;
}
printf "%s %d\n", $_, $count{$_} for sort keys %count;
