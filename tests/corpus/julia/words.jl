counts = Dict{String,Int}()
for line in eachline(stdin), word in split(line)
    counts[word] = get(counts, word, 0) + 1
end
for word in sort(collect(keys(counts)))
    println(word, " ", counts[word])
end
