local count, names = {}, {}
for line in io.lines() do
  for word in line:gmatch("%S+") do
    if not count[word] then names[#names + 1] = word end
    count[word] = (count[word] or 0) + 1
  end
end
table.sort(names)
for _, word in ipairs(names) do io.write(word, " ", count[word], "\n") end
