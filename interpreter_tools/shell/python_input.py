# pyright: basic, reportAttributeAccessIssue=false
"""The user's Python input inside the sandbox, with the variables of earlier inputs.

Variables that pickle can hold are kept in a file of the workspace. Modules are imported again. Functions and classes
that inputs have defined are defined again from their source.
"""

import ast
import builtins
import contextlib
import importlib
import io
import linecache
import os
import pickle
import sys
import traceback
import types

_NAME = "<input>"
_DIRECTORY = "/workspace/.interpreter-tools"
_INPUT, _KEPT = f"{_DIRECTORY}/input.py", f"{_DIRECTORY}/variables"
_MOST = 64 << 20  # bytes of one variable


def _run(names, sources):
    with open(_INPUT, encoding="utf-8", errors="surrogateescape") as file:
        code = file.read()
    _note_lines(_NAME, code)
    tree = ast.parse(code, _NAME)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            sources[node.name] = "\n".join(code.split("\n")[first - 1 : node.end_lineno])
    shown = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, _NAME, "exec"), names)
    if shown is not None:
        sys.displayhook(eval(compile(ast.Expression(shown.value), _NAME, "eval"), names))
        if hasattr(builtins, "_"):  # else it was None
            names["_"] = builtins._


def _note_lines(name, code):
    """Register the source lines of an input, for tracebacks."""
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)


def _load(names, sources):
    try:
        with open(_KEPT, "rb") as file:
            kept = pickle.load(file)
    except (OSError, EOFError, pickle.UnpicklingError):
        return
    sources.update(kept["sources"])
    for name, module in kept["modules"].items():
        with contextlib.suppress(ImportError):  # its package is not asked for any more; using it raises an error
            names[name] = importlib.import_module(module)
    values = _load_values(names, kept["values"])  # defaults of functions may need them
    for name, source in sources.items():
        where = f"{_NAME[:-1]} {name}>"
        _note_lines(where, source)
        with contextlib.suppress(Exception):  # it needs a value that could not be kept; using it raises an error
            exec(compile(source, where, "exec"), names)
    _load_values(names, values)


def _load_values(names, values):
    """Load the values, and return those whose classes are not defined yet."""
    left = {}
    for name, data in values.items():
        try:
            names[name] = pickle.loads(data)
        except Exception:
            left[name] = data
    return left


def _save(names, sources):
    modules, values, lost = {}, {}, []
    for name, value in names.items():
        if name.startswith("__"):
            continue
        if isinstance(value, types.ModuleType):
            modules[name] = value.__name__
        elif not _is_defined(name, value, sources):
            values[name] = _pickled(value)
            if values[name] is None:
                del values[name]
                lost += [name] if name != "_" else []
    defined = {name: source for name, source in sources.items() if _is_defined(name, names.get(name), sources)}
    try:
        with open(f"{_KEPT}.new", "wb") as file:
            pickle.dump({"modules": modules, "sources": defined, "values": values}, file)
        os.replace(f"{_KEPT}.new", _KEPT)
    except OSError as error:
        print(f"variables could not be kept: {error.strerror}", file=sys.stderr)
    if lost:
        print(f"not kept for the next input: {', '.join(lost)}", file=sys.stderr)


def _is_defined(name, value, sources):
    """Return True for a function or class that an input defined, and that still has its name."""
    return name in sources and getattr(value, "__module__", None) == "__main__" and value.__qualname__ == name


class _Limited(io.BytesIO):
    def write(self, data):
        if self.tell() + len(data) > _MOST:
            raise OverflowError
        return super().write(data)


def _pickled(value):
    buffer = _Limited()
    try:
        pickle.dump(value, buffer)
    except Exception:
        return None
    return buffer.getvalue()


def _main():
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main  # the input sees nothing of this program
    names, sources, failed = main.__dict__, {}, False
    _load(names, sources)
    try:
        _run(names, sources)
    except Exception as error:
        failed = True
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != _NAME:
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
    finally:
        sys.stdout.flush()
        _save(names, sources)
    if failed:
        sys.exit(1)


_main()
