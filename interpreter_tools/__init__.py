"""Run untrusted code snippets in warm, locked-down containers, from asyncio.

The names are those of ``_api``, which is imported when the first of them is asked for (PEP 562): what needs none of
them, such as ``interpreter-tools --help``, does not wait for the Docker client.
"""

import typing

if typing.TYPE_CHECKING:
    from interpreter_tools._api import *  # noqa: F403 - its __all__ is ours
    from interpreter_tools._api import __all__ as __all__

    __version__: str
else:

    def __getattr__(name):  # noqa: ANN001, ANN202 - type checkers see the names themselves
        if name == "__version__":
            from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - takes longer than the rest

            try:
                found = version("interpreter-tools")
            except PackageNotFoundError:  # the sources, without an installation
                found = "0+unknown"
            globals()["__version__"] = found
            return found
        if name.startswith("_") and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from interpreter_tools import _api  # noqa: PLC0415 - it is why this function exists

        if name not in _api.__all__ and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()["__all__"] = _api.__all__
        globals().update({each: getattr(_api, each) for each in _api.__all__})
        return globals()[name]

    def __dir__():  # noqa: ANN202
        return sorted({*globals(), *__getattr__("__all__")})
