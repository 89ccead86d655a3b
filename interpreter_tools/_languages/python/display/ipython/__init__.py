# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Stands in for IPython where that is not installed: programs written for notebooks import ``IPython.display``."""

__version__ = "0"


def get_ipython():
    """Return None: no shell of IPython runs."""
    return
