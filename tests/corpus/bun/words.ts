const counts: Record<string, number> = {};
for (const word of (await Bun.stdin.text()).split(/\s+/).filter(Boolean)) counts[word] = (counts[word] ?? 0) + 1;
for (const word of Object.keys(counts).sort()) console.log(`${word} ${counts[word]}`);
