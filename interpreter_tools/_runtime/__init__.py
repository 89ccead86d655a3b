"""What an engine holds, and a request on its way to a container."""
