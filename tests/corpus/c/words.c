#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry { char word[32]; int count; };

static int by_word(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->word, ((const struct entry *)b)->word);
}

int main(void)
{
    struct entry entries[64];
    int used = 0;
    char word[32];

    while (scanf("%31s", word) == 1) {
        int i = 0;
        while (i < used && strcmp(entries[i].word, word) != 0) i++;
        if (i == used) {
            strcpy(entries[used].word, word);
            entries[used++].count = 0;
        }
        entries[i].count++;
    }
    qsort(entries, (size_t)used, sizeof entries[0], by_word);
    for (int i = 0; i < used; i++) printf("%s %d\n", entries[i].word, entries[i].count);
    return 0;
}
