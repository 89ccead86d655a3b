defmodule Primes do
  def prime?(2), do: true
  def prime?(n), do: Enum.all?(2..max(2, trunc(:math.sqrt(n))), &(rem(n, &1) != 0))
end

primes = Enum.filter(2..49, &Primes.prime?/1)
IO.puts(Enum.join(primes, " "))
IO.puts(Enum.sum(primes))
