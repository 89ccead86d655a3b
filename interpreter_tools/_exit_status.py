"""Exit statuses of our own commands, where the status is not the program's."""

USAGE = 2
"""The call cannot work as it was made; nothing was run. As most commands, and ``argparse``, report it."""

TIMED_OUT = 124
"""The program ran longer than its limit, as ``timeout(1)`` reports it."""

SANDBOX_FAILED = 125
"""No program was run, as ``docker run`` reports it."""

BROKEN_PIPE = 141
"""128 + SIGPIPE, as shells report a program whose reader went away."""
