console.log("before");
console.error("wrong");
Deno.exit(3);
