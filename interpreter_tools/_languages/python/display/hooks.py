# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""The hooks into libraries that can show something; boot.py calls them right after a program's import."""

import functools
import os
import sys

_BACKEND = "module://interpreter_tools_display.backend"
# Backends that draw in a window or in a notebook's page, by how their names begin; none of them can run here
_WINDOWS = ("gtk", "macosx", "nbagg", "notebook", "qt", "tk", "webagg", "wx")


def complete(module):
    """Complete a module of ``_HOOKS``, so that what it shows becomes results of the run."""
    hook = _HOOKS.get(module.__name__)
    if hook is not None:
        hook(module)


def _matplotlib(module):
    params = module.rcParams
    chosen = dict.get(params, "backend")
    if "MPLBACKEND" not in os.environ and not isinstance(chosen, str):  # neither a file nor the program has chosen
        params["backend"] = _BACKEND


def _pyplot(module):
    switch = module.switch_backend

    @functools.wraps(switch)
    def switch_backend(newbackend):
        name = newbackend.lower() if isinstance(newbackend, str) else ""
        if name != "agg" and not name.startswith(_WINDOWS):
            switch(newbackend)
            return
        switch(_BACKEND)  # it draws as Agg does, and has something to show figures with
        for params in (module.rcParams, module.rcParamsDefault):
            params["backend"] = newbackend  # what the program has asked for

    module.switch_backend = switch_backend


def _pil_image(module):
    save = module.Image.save

    @functools.wraps(save)
    def save_and_show(self, fp, *arguments, **options):
        if "E2B_SANDBOX" in os.environ and isinstance(fp, str):  # programs for E2B expect the picture as a result
            from interpreter_tools_display import display

            display(self)
        save(self, fp, *arguments, **options)

    module.Image.save = save_and_show


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


# Renderers for what a sandbox does not have: programs set one of them by hand.
_PLOTLY_FRONTENDS = ("browser", "firefox", "chrome", "chromium", "notebook", "notebook_connected", "colab", "vscode")


def _plotly(module):
    from plotly.io._base_renderers import ExternalRenderer

    class Display(ExternalRenderer):
        def render(self, figure):
            import plotly.graph_objects
            from interpreter_tools_display import display

            if isinstance(figure, dict):
                figure = plotly.graph_objects.Figure(figure, skip_invalid=True)
            display(figure)

    for name in ("interpreter_tools", *_PLOTLY_FRONTENDS):
        module.renderers[name] = Display()
    if "PLOTLY_RENDERER" not in os.environ:
        module.renderers.default = "interpreter_tools"


def _altair(module):
    from interpreter_tools_display import display

    def show(self, *arguments, **options):
        display(self)

    module.TopLevelMixin.show = show
    module.TopLevelMixin.display = show


def _bokeh(module):
    from interpreter_tools_display import display

    def show(shown, state, new, controller):
        from bokeh.embed import file_html
        from bokeh.resources import CDN

        if state.file:
            module.save(shown, state=state)
        display({"text/html": file_html(shown, CDN, "Bokeh"), "text/plain": "<bokeh plot>"}, raw=True)

    module._show_file_with_state = show


_HOOKS = {
    "bokeh.io.showing": _bokeh,
    "matplotlib": _matplotlib,
    "matplotlib.pyplot": _pyplot,
    "PIL.Image": _pil_image,
    "PIL.ImageShow": _pil,
    "IPython.core.display_functions": _ipython,
    "plotly.io._renderers": _plotly,
    "altair.vegalite.v4.api": _altair,
    "altair.vegalite.v5.api": _altair,
    "altair.vegalite.v6.api": _altair,
}
