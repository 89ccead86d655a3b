{ for (i = 1; i <= NF; i++) count[$i]++ }
END {
    n = asorti(count, names)
    for (i = 1; i <= n; i++) print names[i], count[names[i]]
}
