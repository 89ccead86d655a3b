found = primes(49);
printf("%s\n", strjoin(arrayfun(@num2str, found, "UniformOutput", false), " "));
disp(sum(found))
