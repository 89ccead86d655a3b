"""What a run in a pool has made, kept on this side because its container is wiped next."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interpreter_tools._staging import Staged
from interpreter_tools._transfer import read_range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpreter_tools._session_lease import Record
    from interpreter_tools._staging import Staging

_LOG = logging.getLogger("interpreter_tools")
_MOST = 64 << 20  # bytes, all files together


async def keep_files(record: Record, names: Iterable[str], kept: Staging) -> None:
    """Takes those files, up to 64 MiB.

    Args:
        record: the container.
        names: of the files.
        kept: where they go.

    Raises:
        ContainerLost, ProtocolError: the container went away.
    """
    left = _MOST
    for name in sorted(names):
        path = name.encode("utf-8", "surrogateescape")
        data = await read_range(record.channel, path, uid=record.uid, offset=0, count=left + 1)
        left -= len(data)
        if left < 0:
            _LOG.info("more than %d bytes were made in a pool; the rest is gone", _MOST)
            break
        kept.put(path, await Staged.take(data))
