#!/usr/bin/env escript
main(_) ->
    io:format("before~n"),
    io:format(standard_error, "wrong~n", []),
    halt(3).
