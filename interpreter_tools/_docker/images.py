"""Images on their way to the engine: pulled from a registry, or imported from a tar."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

import msgspec

from interpreter_tools._deadline import awake_timeout
from interpreter_tools._docker.errors import Refusal, map_docker_errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence

    from interpreter_tools._docker.http import HttpConnection

# Seconds. An engine says nothing while it waits for a registry that does not answer: up to 30 s per attempt.
_SILENCE = 120.0
_MEDIA_TYPE = {"Content-Type": "application/x-tar"}


class PullProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a pull.

    Attributes:
        layer: the layer it is about; empty when it is about the whole image.
        status: such as ``"Downloading"``, ``"Extracting"``, ``"Pull complete"``.
        current: bytes done; 0 where unknown.
        total: bytes in all; 0 where unknown.
    """

    layer: str
    status: str
    current: int
    total: int


class _Detail(msgspec.Struct):
    current: int = 0
    total: int = 0


class _Line(msgspec.Struct, rename="camel"):
    id: str = ""
    status: str = ""
    progress_detail: _Detail | None = None


class Pull:
    """A pull under way: an async iterator of ``PullProgress``. Leaving it early, with ``aclose``, stops the pull.

    Raises:
        DockerApiError: the registry or the engine refused, or nothing was heard for two minutes (status 0).
        DockerUnavailable: the connection to the engine broke.
    """

    def __init__(self, connection: HttpConnection, name: str) -> None:
        self._operation = f"pull {name}"
        self._lines = _pull(connection, name)

    def __repr__(self) -> str:
        return f"<Pull [{self._operation}]>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PullProgress:
        with map_docker_errors(self._operation, deadline=_SILENCE):
            async with awake_timeout(_SILENCE):
                line = msgspec.convert(await anext(self._lines), _Line)
        detail = line.progress_detail or _Detail()
        return PullProgress(layer=line.id, status=line.status, current=detail.current, total=detail.total)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, at which the engine stops the pull."""
        await self._lines.aclose()


async def _pull(connection: HttpConnection, name: str) -> AsyncGenerator[object]:
    library = await connection.library()
    async with contextlib.aclosing(library.pull(name)) as lines:
        async for line in lines:
            yield line


async def post_tar(
    connection: HttpConnection,
    query: str,
    source: AsyncIterable[bytes] | bytes,
    take: Callable[[Mapping[str, object]], None],
) -> None:
    """Send a tar to the engine, and hand each line of its answer to ``take``.

    Raises:
        Refusal: the engine refused.
    """
    library = await connection.library()
    # aiodocker's own calls drop an error's text, or are missing
    async with library.query(query, "POST", data=source, headers=_MEDIA_TYPE) as response:
        async for line in response.content:
            answer = msgspec.json.decode(line, type=dict[str, object]) if line.strip() else {}
            if "error" in answer:
                raise Refusal(500, str(answer["error"]))
            take(answer)


async def import_tree(
    connection: HttpConnection, source: AsyncIterable[bytes] | bytes, *, tag: str, changes: Sequence[str]
) -> str:
    """Make an image of a tar of its files and return its id.

    Raises:
        Refusal: the engine refused.
    """
    # Podman ignores the parameter `tag`
    query = urlencode([("fromSrc", "-"), ("repo", tag), *(("changes", change) for change in changes)])
    image_id = ""

    def take(answer: Mapping[str, object]) -> None:
        nonlocal image_id
        image_id = str(answer.get("status", image_id))

    await post_tar(connection, f"images/create?{query}", source, take)
    if not image_id:
        raise Refusal(500, "the engine gave no id for the imported image")
    return image_id
