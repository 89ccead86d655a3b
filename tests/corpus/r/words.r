words <- scan(file("stdin"), what = character(), quiet = TRUE)
counts <- table(words)
names_sorted <- sort(names(counts), method = "radix")
for (name in names_sorted) cat(name, " ", counts[[name]], "\n", sep = "")
