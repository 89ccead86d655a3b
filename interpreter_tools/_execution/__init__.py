"""One run as an async iterator."""
