# pyright: basic
"""Stands in for ``IPython.core``."""
