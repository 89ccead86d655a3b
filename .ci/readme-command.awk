# Prints the bash block number `wanted` of a Markdown file:  awk -v wanted=2 -f .ci/readme-command.awk README.md
/^```bash$/ { block++; inside = 1; next }
/^```$/ { inside = 0 }
inside && block == wanted
