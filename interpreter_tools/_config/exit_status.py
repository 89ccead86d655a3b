"""What our own commands say by their exit status, where it is not the program's."""

SANDBOX_FAILED = 125
"""There was no run, as ``docker run`` says it."""

BROKEN_PIPE = 141
"""128 + SIGPIPE, as shells report a program whose reader went away."""
