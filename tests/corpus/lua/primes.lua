local primes, sum = {}, 0
for n = 2, 49 do
  local prime = true
  for i = 2, math.floor(math.sqrt(n)) do
    if n % i == 0 then prime = false break end
  end
  if prime then
    primes[#primes + 1] = n
    sum = sum + n
  end
end
print(table.concat(primes, " "))
print(sum)
