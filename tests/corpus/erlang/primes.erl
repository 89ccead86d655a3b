#!/usr/bin/env escript
main(_) ->
    Primes = [N || N <- lists:seq(2, 49), is_prime(N)],
    io:format("~s~n~b~n", [lists:join(" ", [integer_to_list(N) || N <- Primes]), lists:sum(Primes)]).

is_prime(N) ->
    lists:all(fun(I) -> N rem I =/= 0 end, lists:seq(2, trunc(math:sqrt(N)))).
