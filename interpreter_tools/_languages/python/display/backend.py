# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""A backend of matplotlib that draws with Agg, and whose windows are results of the run."""

import atexit
import os

from interpreter_tools_display import display
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase, _Backend
from matplotlib.backends.backend_agg import FigureCanvasAgg


class FigureManager(FigureManagerBase):
    """A figure's window: to show it is to display it."""

    def show(self):
        """Display this figure; it stays open, as with ``Figure.show``."""
        display(self.canvas.figure)
        self.shown = True
        self.canvas.figure.stale = False


class FigureCanvas(FigureCanvasAgg):
    """Agg's canvas, with our window."""

    manager_class = FigureManager


def _show(block=None):
    """Display the open figures. Like windows that the user closes, they are gone then, unless nobody waits for it."""
    for manager in Gcf.get_all_fig_managers():
        if block is not False or not getattr(manager, "shown", False):  # a loop of plt.pause shows a figure once
            manager.show()
    if block is not False:
        Gcf.destroy_all()


FigureManager.pyplot_show = classmethod(lambda cls, *, block=None: _show(block))


@_Backend.export
class _BackendDisplay(_Backend):
    FigureCanvas = FigureCanvas
    FigureManager = FigureManager

    @staticmethod
    def show(*arguments, **options):
        _show(options.get("block", arguments[0] if arguments else None))


@atexit.register
def _show_what_is_open():
    """Show what was left open and not shown as it is now, as a notebook does, for a caller who asks for that."""
    if os.environ.get("INTERPRETER_TOOLS_FIGURES") == "all":
        for manager in Gcf.get_all_fig_managers():
            if manager.canvas.figure.stale or not getattr(manager, "shown", False):
                manager.show()
