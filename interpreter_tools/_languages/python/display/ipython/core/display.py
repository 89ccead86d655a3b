# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""The old home of what is in ``IPython.display``."""

from IPython.display import *  # noqa: F403
