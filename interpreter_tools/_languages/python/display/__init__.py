# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""The display of pictures, tables and text in the sandbox, which travel to the caller as results of their own.

The zygote of boot.py holds this package in source, and imports it when a program imports a library that can show
something. It needs nothing but the standard library.
"""

import json
import os
import sys

from interpreter_tools_display import messages
from interpreter_tools_display.bundle import bundle_of

KIND = "d"


def display(*values, include=None, exclude=None, metadata=None, raw=False, clear=False, display_id=None, **_ignored):
    """Show objects to the caller, each as a result of its own, in order with what was printed.

    Args:
        values: any objects.
        include: MIME types to send; None sends all that an object has.
        exclude: MIME types to leave out.
        metadata: said about all of them, by MIME type.
        raw: the values are dictionaries of MIME types already.
        clear: taken for the sake of programs that were written for notebooks.
        display_id: a name for the result; True gives it one.

    Returns:
        A handle to replace the result with, where it has a name.
    """
    if display_id is True:
        display_id = "%032x" % int.from_bytes(os.urandom(16), "big")
    for value in values:
        if raw:
            data, about = dict(value), {}
        else:
            data, about = bundle_of(value, include, exclude)
        about.update(metadata or {})
        publish(data, about, display_id=display_id)
    if display_id is None:
        return None
    from IPython.display import DisplayHandle

    return DisplayHandle(display_id)


def publish(data, metadata=None, *, main=False, display_id=None, update=False):
    """Send one result. Without a caller that takes results, its text is printed instead.

    Args:
        data: representations by MIME type: text, JSON data, or base64 of bytes.
        metadata: said about them.
        main: it is the value of a cell.
        display_id: the name of the result.
        update: it takes the place of the result of that name.
    """
    if not data:
        return
    message = {"data": data, "metadata": metadata or {}}
    if main:
        message["main"] = True
    if isinstance(display_id, str):
        message["id"] = display_id
    if update:
        message["update"] = True
    body = json.dumps(message, default=str).encode("utf-8", "replace")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    try:
        messages.send(KIND, body)
    except OSError:
        print(data.get("text/plain", ""))
