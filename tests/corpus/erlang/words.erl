#!/usr/bin/env escript
main(_) ->
    Words = read([]),
    Count = fun(Word, Counts) -> maps:update_with(Word, fun(N) -> N + 1 end, 1, Counts) end,
    Counts = lists:foldl(Count, #{}, Words),
    [io:format("~s ~b~n", [Word, N]) || {Word, N} <- lists:sort(maps:to_list(Counts))].

read(Words) ->
    case io:get_line("") of
        eof -> Words;
        Line -> read(string:lexemes(Line, " \n") ++ Words)
    end.
