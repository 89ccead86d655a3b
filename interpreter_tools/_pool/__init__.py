"""Warm containers, one pool for each shape."""
