"""The resources of an engine, and a request on its way to a container."""
