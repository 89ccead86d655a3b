"""The check of paths beneath the workspace."""

from __future__ import annotations

import re

from interpreter_tools._exceptions import InvalidPath

WORKSPACE = "/workspace"
_PREFIX = WORKSPACE.encode() + b"/"
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def check_path(path: str) -> bytes:
    r"""Return the bytes of a path relative to the workspace, without ``.`` and doubled slashes.

    An absolute path below the workspace is taken as well: that is what programs print.

    ``..cache`` and backslashes are parts of names like any others. Bytes that are not UTF-8 are given, as everywhere in
    Python, by ``surrogateescape``.

    Raises:
        InvalidPath: it is empty, absolute elsewhere, holds ``..`` or a control character, a component of more than
            255 bytes, or more than 4095 bytes in all.
    """
    if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidPath(path, "is not a text")
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidPath(path, "holds a lone surrogate") from None
    raw = raw.removeprefix(_PREFIX)
    if raw.startswith(b"/"):
        raise InvalidPath(path, f"is absolute, and not below {WORKSPACE}")
    if _CONTROL.search(raw):
        raise InvalidPath(path, "holds a control character")
    parts = [part for part in raw.split(b"/") if part not in {b"", b"."}]
    if not parts or raw.endswith(b"/"):
        raise InvalidPath(path, "is not the path of a file")
    if b".." in parts:
        raise InvalidPath(path, "leads upwards")
    if any(len(part) > 255 for part in parts):
        raise InvalidPath(path, "has a component of more than 255 bytes")
    clean = b"/".join(parts)
    if len(clean) > 4095 - len(WORKSPACE) - 1:
        raise InvalidPath(path, "is longer than 4095 bytes")
    return clean


def shown_path(path: bytes) -> str:
    """Return a path as text; bytes that are not UTF-8 become surrogate escapes, as in ``os.fsdecode``."""
    return path.decode("utf-8", "surrogateescape")
