console.log("before");
console.error("wrong");
process.exit(3);
