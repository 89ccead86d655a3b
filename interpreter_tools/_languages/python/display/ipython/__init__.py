# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Stands in for IPython where that is not installed: programs written for notebooks import ``IPython.display``."""

# matplotlib reads the version when it is imported after this module: from 8.24 on it asks IPython for no backend.
version_info = (9, 0, 0, "")
__version__ = "9.0.0"


def get_ipython():
    """Return None: no shell of IPython runs."""
    return
