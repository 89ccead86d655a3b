# pyright: basic, reportWildcardImportFromLibrary=false
"""The old home of what is in ``IPython.display``."""

from IPython.display import *  # noqa: F403
