"""Images that the engine builds from a Dockerfile."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from interpreter_tools._docker.images import post_tar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from interpreter_tools._docker.client import DockerClient

_DEADLINE = 600.0
STDERR = "\x1b[91m"
"""The beginning of a line that a step wrote to stderr: the engine colours it."""
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


async def build_image(
    client: DockerClient,
    dockerfile: str,
    *,
    tag: str,
    files: Mapping[str, bytes],
    arguments: Mapping[str, str],
    on_line: Callable[[str], None],
    deadline: float = _DEADLINE,
    network: str | None = None,
) -> None:
    """Have the engine build an image.

    Args:
        client: the engine.
        dockerfile: the text of the Dockerfile.
        tag: the image's name.
        files: the files that the Dockerfile copies, by name.
        arguments: values of its ``ARG`` lines, and of those that every build has, such as ``http_proxy``.
        on_line: is called with each line of the build's output; those of stderr begin with ``STDERR``.
        deadline: seconds for all of it.
        network: the Docker network that the steps run in; None means the engine's default.

    Raises:
        DockerApiError: a step failed or the engine cannot build (status 500), or the deadline passed (status 0).
        DockerUnavailable: the connection broke.
    """
    connection = client._connection  # noqa: SLF001 - this is a method of the client that has a file of its own
    parameters = {"t": tag, "rm": "1", "forcerm": "1", "buildargs": msgspec.json.encode(dict(arguments)).decode()}
    query = urlencode(parameters | ({} if network is None else {"networkmode": network}))
    context = _pack({"Dockerfile": dockerfile.encode(), **files})

    lines = Lines(on_line)

    def take(answer: Mapping[str, object]) -> None:
        lines.take(str(answer.get("stream", "")))

    try:
        await connection.ask(
            "build image", lambda: post_tar(connection, f"build?{query}", context, take), deadline=deadline
        )
    finally:
        lines.end()


class Lines:
    """The lines of a build, of which the engine sends what a step writes, piece by piece."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._begun = ""

    def take(self, text: str) -> None:
        """Take the next piece, and tell of the lines that it ends."""
        if self._begun and text.startswith(STDERR) != self._begun.startswith(STDERR):
            self.end()
        *lines, begun = (self._begun + text).split("\n")
        self._begun = ""
        for line in lines:
            self._tell(line)
        self._begun = begun

    def end(self) -> None:
        """Tell of the line that has begun, if one has."""
        self._tell(self._begun)
        self._begun = ""

    def _tell(self, line: str) -> None:
        if _ESCAPE.sub("", line).strip():
            self._on_line(line.strip())


def _pack(files: Mapping[str, bytes]) -> bytes:
    import tarfile  # noqa: PLC0415 - few processes build an image

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
