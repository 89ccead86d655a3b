using System;
using System.Collections.Generic;

class Words
{
    static void Main()
    {
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        string line;
        while ((line = Console.ReadLine()) != null)
            foreach (var word in line.Split(new[] { ' ' }, StringSplitOptions.RemoveEmptyEntries))
                counts[word] = counts.TryGetValue(word, out var count) ? count + 1 : 1;
        foreach (var pair in counts) Console.WriteLine($"{pair.Key} {pair.Value}");
    }
}
