"""Tests of the server: its core without Docker, and each wire with its unmodified client."""
