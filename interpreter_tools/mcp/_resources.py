"""Resources: sessions' files, ``interpreter-tools://{session_id}/{path}``, and output too long for an answer."""

from __future__ import annotations

import mimetypes
import os
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from mcp.types import Resource

from interpreter_tools._exceptions import SessionClosed, UnknownSession
from interpreter_tools._text import one_line

if TYPE_CHECKING:
    from interpreter_tools.mcp._state import State

SCHEME = "interpreter-tools"
TEMPLATE = f"{SCHEME}://{{session_id}}/{{+path}}"
OUTPUT_TEMPLATE = f"{SCHEME}-output://{{output_id}}/{{stream}}"
READ_LIMIT = 32 << 20  # bytes of one resource: they are held and sent whole, in base64
_LISTED = 1000


def shown(path: str) -> str:
    r"""Return a path that is safe to show: bytes that are not UTF-8, and control characters, are escaped."""
    return one_line(path)


def uri_of(session_id: str, path: str) -> str:
    """Return the address of a file."""
    return f"{SCHEME}://{session_id}/{quote(os.fsencode(path))}"


def output_uri_of(output_id: str, stream: str) -> str:
    """Return the address of the whole output of a run on one stream."""
    return f"{SCHEME}-output://{output_id}/{stream}"


def media_type(uri: str, contents: str | bytes) -> str:
    """Return the media type of a file, by its name; text stays text, even when the name says otherwise."""
    guessed, packed = mimetypes.guess_type(unquote(urlsplit(uri).path))
    if guessed is not None and packed is None:
        return guessed
    return "text/plain" if isinstance(contents, str) else "application/octet-stream"


async def list_resources(state: State) -> list[Resource]:
    """Return the files of every session, up to a thousand.

    The list does not wait for a busy session: it has only the files that the session's runs made.
    """
    resources: list[Resource] = []
    for session in tuple(state.sessions.values()):
        try:
            paths = sorted(_noted(state, session.id)) if session.busy else await session.list_workspace_files()
        except (SessionClosed, UnknownSession):  # closed meanwhile
            continue
        resources += [_describe(session.id, path) for path in paths[: _LISTED - len(resources)]]
    return resources


def _noted(state: State, session_id: str) -> frozenset[str]:
    container = state.sessions[session_id].info().current_container
    return frozenset() if container is None else container.session_generated_files | container.baseline_files


def _describe(session_id: str, path: str) -> Resource:
    uri = uri_of(session_id, path)
    guessed, _ = mimetypes.guess_type(path)
    return Resource(uri=uri, name=shown(path), mime_type=guessed)
