"""One sandbox: its shape, its channel, its files."""
