# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""What happens when a program imports a library that can show something.

``install`` puts a finder in front of the others. It does nothing but for the few names below: then it lets the real
finders work, and completes the module once its own code has run.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys


def complete(name, module):
    """Complete a module that has just been imported; see ``_HOOKS``."""
    hook = _HOOKS.get(name)
    if hook is not None:
        hook(module)


def missing(name):
    """Return where a module of ours stands in for one that is not installed; None for all others."""
    if name in ("IPython", "IPython.display", "IPython.core", "IPython.core.display"):
        where = os.path.join(os.path.dirname(__file__), "ipython", *name.split(".")[1:])
        path = where + ".py" if os.path.exists(where + ".py") else os.path.join(where, "__init__.py")
        search = [where] if path.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
    return None


def _matplotlib(module):
    params = module.rcParams
    chosen = dict.get(params, "backend")
    if "MPLBACKEND" not in os.environ and not isinstance(chosen, str):  # neither a file nor the program has chosen
        params["backend"] = "module://interpreter_tools_display.backend"


def _pil(module):
    from interpreter_tools_display import display

    class Display(module.Viewer):
        def show(self, image, **options):
            display(image)
            return True

    module.register(Display, 0)


def _ipython(module):
    from interpreter_tools_display import display

    shown = module.display

    def show(*values, **options):
        shell = sys.modules.get("IPython.core.interactiveshell")
        if shell is not None and shell.InteractiveShell.initialized():
            return shown(*values, **options)
        return display(*values, **options)

    module.display = show


def _plotly(module):
    from plotly.io._base_renderers import ExternalRenderer

    class Display(ExternalRenderer):
        def render(self, figure):
            import plotly.graph_objects
            from interpreter_tools_display import display

            if isinstance(figure, dict):
                figure = plotly.graph_objects.Figure(figure, skip_invalid=True)
            display(figure)

    module.renderers["interpreter_tools"] = Display()
    if "PLOTLY_RENDERER" not in os.environ:
        module.renderers.default = "interpreter_tools"


def _altair(module):
    from interpreter_tools_display import display

    def show(self, *arguments, **options):
        display(self)

    module.TopLevelMixin.show = show
    module.TopLevelMixin.display = show


_HOOKS = {
    "matplotlib": _matplotlib,
    "PIL.ImageShow": _pil,
    "IPython.core.display_functions": _ipython,
    "plotly.io._renderers": _plotly,
    "altair.vegalite.v4.api": _altair,
    "altair.vegalite.v5.api": _altair,
    "altair.vegalite.v6.api": _altair,
}
