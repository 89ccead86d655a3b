words = {};
while ischar(line = fgetl(stdin))
  words = [words, strsplit(strtrim(line), " ")];
end
[names, ~, index] = unique(words);
counts = accumarray(index(:), 1);
for i = 1:numel(names)
  printf("%s %d\n", names{i}, counts(i));
end
