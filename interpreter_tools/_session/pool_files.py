"""The files that a run in a pool made, kept on this machine because its container is wiped next."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interpreter_tools._container.files import list_files, read_range
from interpreter_tools._exceptions import FileRefused
from interpreter_tools._session.staging import Staged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpreter_tools._session.record import Record
    from interpreter_tools._session.staging import Staging

_LOG = logging.getLogger("interpreter_tools")
_MOST = 64 << 20  # bytes, all files together


async def keep_files(record: Record, names: Iterable[str], kept: Staging) -> None:
    """Copy the files, up to 64 MiB; leave out a file that does not fit any more, or cannot be read.

    Args:
        record: the container.
        names: of the files.
        kept: where they go.

    Raises:
        ContainerLost, ProtocolError: the container went away.
    """
    entries, _ = await list_files(record.channel)
    sizes = {path: size for size, path in entries}
    left = _MOST
    for name in sorted(names):
        path = name.encode("utf-8", "surrogateescape")
        if sizes.get(path, 0) > left:
            _LOG.info("%r, of %d bytes, is not kept: runs in a pool may leave %d", name, sizes[path], _MOST)
            continue
        try:
            data = await read_range(record.channel, path, uid=record.uid, offset=0, count=left)
        except FileRefused as refused:
            _LOG.info("what a run in a pool has made is not kept: %s", refused.message)
            continue
        left -= len(data)
        kept.put(path, await Staged.take(data))
