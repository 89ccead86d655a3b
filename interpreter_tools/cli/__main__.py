"""``python -m interpreter_tools.cli``."""

from interpreter_tools.cli import main

main()
