"""Several commands side by side in one session."""
