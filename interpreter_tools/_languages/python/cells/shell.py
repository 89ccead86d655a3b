# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
"""IPython's shell, whose results and tracebacks travel to the caller of the cell."""

import asyncio
import atexit
import builtins
import linecache
import opcode
import os
import re
import shlex
import subprocess
import sys
import warnings

import interpreter_tools_display
from interpreter_tools_display import bundle
from IPython.core.autocall import IPyAutocall
from IPython.core.completer import provisionalcompleter, rectify_completions
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.formatters import DisplayFormatter
from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.macro import Macro
from IPython.lib import pretty
from traitlets import Type
from traitlets.config import Config

_MAX_TRACEBACK = 1 << 20
_OWN = ("<interpreter_tools_", "<tools>")  # files of the functions that cells call: input, tools
_SHOWS = frozenset(opcode.opmap[name] for name in ("PRINT_EXPR", "CALL_INTRINSIC_1") if name in opcode.opmap)
_RUN_CODE = InteractiveShell.run_code.__code__
_BY_REPR = frozenset({int, str})  # of these, whose printer is that of IPython still
_SPECIAL = re.compile(r"[%!?\r\v\f\x1c-\x1e\x85\u2028\u2029]|>>>|\.\.\.|In \[|^[^\S\n]+$|^[^\S\n]*[,;/]", re.MULTILINE)
_WORD = re.compile(r"[\w.*]*")
_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})  # they have no representation but their text


class Formatter(DisplayFormatter):
    """Adds what our own displays say of figures, pictures and tables."""

    _printers = None  # those of all formatters but that of text; None: to be looked for

    def format(self, obj, include=None, exclude=None):
        """Return the representations of an object, and what is said about them."""
        if include is None and exclude is None and type(obj) in _PLAIN and not self._has_printers():
            return {"text/plain": self._text_of(obj)}, {}  # what all formatters would give, in a tenth
        data, about = super().format(obj, include=include, exclude=exclude)
        if data and any(name in bundle._KNOWN for name in bundle._names(obj)):
            more, said = bundle.bundle_of(obj, include, exclude)
            data, about = {**data, **more}, {**about, **said}
        return data, about

    def _has_printers(self):
        """Tell whether anybody has registered a representation that is not text."""
        if self._printers is None or len(self.formatters) != self._count:
            others = [each for mime, each in self.formatters.items() if mime != "text/plain"]
            others.append(self.ipython_display_formatter)
            for each in others:
                each.observe(self._forget, ["type_printers", "deferred_printers"])
            self._printers = [found for each in others for found in (each.type_printers, each.deferred_printers)]
            self._count = len(self.formatters)
        return any(self._printers)

    def _forget(self, _change):
        self._printers = None

    def _text_of(self, obj):
        formatter = self.formatters["text/plain"]
        if type(obj) in _BY_REPR and formatter.type_printers.get(type(obj)) is pretty._repr_pprint:
            try:
                return repr(obj)
            except ValueError:
                pass  # a number of too many digits, which the formatter tells
        return formatter(obj)


class Publisher(DisplayPublisher):
    """Sends displays to the caller."""

    on_clear = None

    def publish(self, data, metadata=None, *, transient=None, update=False, **_ignored):
        """Send one display."""
        display_id = (transient or {}).get("display_id")
        interpreter_tools_display.publish(_plain(data), metadata, display_id=display_id, update=update)

    def clear_output(self, wait=False):
        """Tell a notebook to take away what was shown; others keep what they were sent."""
        if self.on_clear is not None:
            self.on_clear(wait)


class Hook(DisplayHook):
    """Sends the value of a cell's last expression to the caller."""

    def quiet(self):
        """Tell whether the cell ends in a semicolon: without any its tokens need not be looked at."""
        cells = self.shell.history_manager.input_hist_parsed
        return bool(cells) and ";" in cells[-1] and super().quiet()

    def write_output_prompt(self):
        """Print nothing: the number of the cell is told with its end."""

    def write_format_data(self, format_dict, md_dict=None):
        """Send the value."""
        if format_dict:
            self.shell.tell_value(_plain(format_dict), md_dict, self._is_last(sys._getframe(2)))

    def _is_last(self, frame):
        """Tell whether nothing of the cell runs any more behind the value of this frame, which has called the hook."""
        return (
            frame.f_back is not None
            and frame.f_back.f_code is _RUN_CODE
            and frame.f_code.co_code[frame.f_lasti] in _SHOWS  # the statement itself, and no call of ours
            and self.shell.display_trap._nested_level == 1  # the cell, and none that it runs
            and self.shell.ast_node_interactivity != "all"
        )

    def log_output(self, format_dict):
        """Keep nothing: ``Out`` has the values themselves."""

    def finish_displayhook(self):
        """Print nothing."""
        self._is_active = False


def _plain(data):
    return {mime: bundle._encoded(item) for mime, item in data.items()}


class Shell(InteractiveShell):
    """The shell of one context."""

    displayhook_class = Type(Hook)
    display_pub_class = Type(Publisher)

    def __init__(self, *arguments, **options):
        self.failed = None
        self.exit_code = None
        self.interrupted = False
        self.notebook = False
        self._stored = {}
        super().__init__(*arguments, **options)
        self._own_transformers, self._own_callbacks = self._transformers(), self._callbacks()

    # -- what a sandbox has no use for

    @property
    def db(self):
        """Hold what magics keep, in memory."""
        return self._stored

    def init_ipython_dir(self, ipython_dir):
        """Have no directory of settings: nothing is read or written before a cell asks for it."""

    def init_profile_dir(self, profile_dir):
        """Have no profile."""

    def init_history(self):
        """Keep the history in memory alone."""
        self.history_manager = HistoryManager(shell=self, parent=self, enabled=False, hist_file=":memory:")
        self.configurables.append(self.history_manager)

    def init_virtualenv(self):
        """Leave the path of modules alone."""

    def init_display_formatter(self):
        """Take our formatter."""
        self.display_formatter = Formatter(parent=self)
        self.configurables.append(self.display_formatter)

    def enable_gui(self, gui=None):
        """Do nothing: there is no screen."""

    def enable_matplotlib(self, gui=None):
        """Keep our own backend, whose figures are displays."""
        return "inline", "module://interpreter_tools_display.backend"

    def ask_exit(self):
        """End the cell, as ``sys.exit()`` does."""
        raise SystemExit(0)

    def system_raw(self, cmd):
        """Run a command of a shell; its output goes where the cell's goes."""
        __tracebackhide__ = True
        words = cmd.split(None, 2)
        if words[:2] == ["uv", "pip"] and os.environ.get("UV_OFFLINE"):  # uv does not see what is in the store
            self._pip(words[2] if words[2:] else "")
            return
        flush()
        command = self.var_expand(cmd, depth=1)
        shell = "/bin/bash" if os.path.exists("/bin/bash") else None
        process = subprocess.Popen(command, shell=True, executable=shell, stdin=subprocess.DEVNULL)
        try:
            code = process.wait()
        except BaseException:
            try:
                process.wait(0.2)  # an interrupt has reached it as well
            except BaseException:
                process.kill()
                process.wait()
            raise
        self.user_ns["_exit_code"] = code if code >= 0 else 128 - code

    system = system_raw

    def init_magics(self):
        """Have IPython's magics, and ours in the place of one of them."""
        super().init_magics()
        self.register_magic_function(self._pip, "line", "pip")
        self.register_magic_function(lambda line: self.system(f"uv {line}"), "line", "uv")

    def _pip(self, line):
        """Run pip. A sandbox without a network says how packages come into it."""
        words = shlex.split(line, comments=True)
        names = [word for word in words[1:] if not word.startswith("-")]
        if words[:1] != ["install"] or not os.environ.get("UV_OFFLINE"):
            self.system(f"{shlex.quote(sys.executable)} -m pip {line}")
            return
        missing = [name for name in names if not _is_installed(name)]
        if missing or not names:
            wanted = ", ".join(repr(name) for name in missing)
            way = "write the names as they are: %pip install six" if missing else "no file is read"
            raise UsageError(f"not installed: {wanted or line!r}. The sandbox has no network; {way}")
        print("installed already:", *names)

    # -- what most cells have no use for

    def transform_cell(self, raw_cell):
        """Return the Python that IPython makes of a cell: for most cells these themselves, which is seen in a tenth."""
        if self._is_special(raw_cell):
            return super().transform_cell(raw_cell)
        return raw_cell if raw_cell.endswith("\n") else raw_cell + "\n"

    def _is_special(self, cell):
        """Tell whether IPython may take something in a cell for more than Python: a magic, a prompt, an indent."""
        if cell[:1].isspace() or _SPECIAL.search(cell) or self.autocall:
            return True
        if self._transformers() != self._own_transformers:
            return True
        if "\n" in cell.rstrip("\n"):
            return False
        word = _WORD.match(cell).group()  # what may be the name of a magic is one in a cell of one line only
        return self.find_magic(word) is not None or isinstance(self.user_ns.get(word), (Macro, IPyAutocall))

    def is_called_back(self):
        """Tell whether a program has functions of its own called after each cell."""
        return self._callbacks() != self._own_callbacks

    def _callbacks(self):
        return [*self.events.callbacks["post_execute"], *self.events.callbacks["post_run_cell"]]

    def _transformers(self):
        static, dynamic = self.input_transformer_manager, self.prefilter_manager
        return [
            *static.cleanup_transforms,
            *static.line_transforms,
            *static.token_transformers,
            *self.input_transformers_post,
            *dynamic.transformers,
            *dynamic.checkers,
        ]

    # -- errors

    def _showtraceback(self, etype, evalue, stb):
        text = "\n".join(str(line) for line in stb)
        self.failed = {"name": _name(etype), "value": _text(evalue), "traceback": text[-_MAX_TRACEBACK:]}
        flush()
        if self.notebook:
            return
        try:
            sys.stderr.write(text if text.endswith("\n") else text + "\n")
        except Exception:
            pass

    def showtraceback(self, exc_tuple=None, *arguments, **options):
        """Show an exception and keep it; ``SystemExit`` ends the cell quietly."""
        kind, value, frames = exc_tuple or sys.exc_info()
        if self.interrupted and _is_interrupt(kind, value):
            kind, value = KeyboardInterrupt, KeyboardInterrupt().with_traceback(frames)
            exc_tuple = kind, value, frames
        _cut_own(frames)
        if kind is not None and isinstance(kind, type) and issubclass(kind, SystemExit):
            self.exit_code = exit_status(value)
            return
        super().showtraceback(exc_tuple, *arguments, **options)
        if self.failed is None and value is not None:
            self.failed = {"name": _name(kind), "value": _text(value), "traceback": ""}

    def show_usage_error(self, exc):
        """Show the error of a magic command."""
        self._showtraceback(type(exc), exc, [f"UsageError: {exc}"])

    # -- questions

    def completions(self, code, cursor):
        """Return texts that may follow, and what they replace."""
        with provisionalcompleter():
            found = list(rectify_completions(code, self.Completer.completions(code, cursor)))
        if not found:
            return [], cursor, cursor
        return [each.text for each in found], found[0].start, found[0].end

    def inspection(self, code, cursor, detail):
        """Return what is known of the name at a place, by MIME type; empty when it means nothing."""
        from IPython.utils.tokenutil import token_at_cursor

        name = token_at_cursor(code, cursor)
        try:
            data = self.object_inspect_mime(name, detail_level=detail)
        except KeyError:
            return {}
        return {mime: text for mime, text in data.items() if isinstance(text, str)}


def make_shell():
    """Make the shell of this process."""
    settings = Config()
    settings.InteractiveShell.colors = "nocolor"
    settings.InteractiveShell.separate_in = ""
    settings.InteractiveShell.banner1 = ""
    settings.Completer.use_jedi = False
    settings.HistoryManager.enabled = False
    warnings.filterwarnings("ignore", "To exit: use")
    modules, names = dict(sys.modules), dict(builtins.__dict__)
    shell = Shell(config=settings)
    atexit.unregister(shell.atexit_operations)
    for name in builtins.__dict__.keys() - names.keys():  # a program that is no cell must not take itself for one
        del builtins.__dict__[name]
    sys.modules["__main__"] = modules["__main__"]
    _warm(shell)
    return shell


def _warm(shell):
    """Fail once, so that IPython has ready what each process would make in its first cell and its first traceback.

    That took 55 ms of processor time, of a cell that was interrupted as well.
    """
    for name in ("bdb", "IPython.core.logger"):
        __import__(name)
    name = shell.compile.cache("1 / 0", 0)
    try:
        exec(compile("1 / 0", name, "exec"), {"__name__": "__main__"})
    except ZeroDivisionError:
        shell.InteractiveTB.structured_traceback(*sys.exc_info(), tb_offset=1)
    del linecache.cache[name], shell.compile._filename_map[name]


def adopt(shell):
    """Become the process of the shell, which may have been made ahead in another process."""
    for kind in Shell._walk_mro():
        kind._instance = shell
    shell.init_builtins()
    shell.init_pushd_popd_magic()


def flush():
    """Pass on what was printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def exit_status(error):
    """Return the exit code of a SystemExit, as Python decides it."""
    code = getattr(error, "code", None)
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    try:
        sys.stderr.write(f"{code}\n")
    except Exception:
        pass
    return 1


def _is_interrupt(kind, value):
    """Tell whether an exception is how an interrupt ends what awaits, or a magic that waits for a program."""
    if kind is subprocess.CalledProcessError:
        return value.returncode is None or not 0 <= value.returncode <= 128  # a signal: SIGINT, or what follows it
    return kind is asyncio.CancelledError


def _cut_own(frames):
    """Take our own frames off the end of a traceback: what the cell has called or was interrupted in is the last."""
    last = None
    while frames is not None:
        if not frames.tb_frame.f_code.co_filename.startswith(_OWN):
            last = frames
        frames = frames.tb_next
    if last is not None:
        last.tb_next = None


def _is_installed(requirement):
    from importlib import metadata

    try:
        metadata.distribution(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
    except (metadata.PackageNotFoundError, ValueError):
        return False
    return True


def _name(kind):
    return getattr(kind, "__name__", "Exception")


def _text(value):
    try:
        return str(value)
    except Exception:
        return "<its text failed>"
