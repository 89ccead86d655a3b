"""An interactive shell over a sandbox: code in any language, commands, and plain language if there is a model.

Needs the extra ``shell``; ``interpreter-tools shell`` starts it.
"""

from interpreter_tools.shell._shell import ShellOptions, run_shell

__all__ = ["ShellOptions", "run_shell"]
