"""Run untrusted code snippets in warm, locked-down containers, from asyncio."""
