"""A live interpreter in a session's container: its cells, its interrupts, its ends."""
