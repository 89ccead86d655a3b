const counts = new Map<string, number>();
const text = await new Response(Deno.stdin.readable).text();
for (const word of text.split(/\s+/).filter(Boolean)) counts.set(word, (counts.get(word) ?? 0) + 1);
for (const word of [...counts.keys()].sort()) console.log(`${word} ${counts.get(word)}`);
