"""The smallest Debian or Ubuntu system with locales, made once with debootstrap(8) and kept as an archive."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from interpreter_tools.setup.chroot import NAMESPACES, Chroot, pack_command
from interpreter_tools.setup.errors import ProgramFailed, SetupFailed
from interpreter_tools.setup.host import read_keyring
from interpreter_tools.setup.process import run_program
from interpreter_tools.setup.progress import Progress
from interpreter_tools.setup.recipes import ADD_LOCALES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from interpreter_tools.setup.cache import BuildCache
    from interpreter_tools.setup.host import AptSettings, AptSource
    from interpreter_tools.setup.progress import Reporter

_STEP = "base"
_FORMAT = "2"  # raised when what a base holds changes
_LINES = 405  # that debootstrap writes for Debian 13; only the progress bar depends on it
_SHARE = 0.7  # of the work that debootstrap does
_SCHEMES = ("http://", "https://", "file:")


async def find_base(
    cache: BuildCache, sources: Sequence[AptSource], settings: AptSettings, *, bundle: str | None, report: Reporter
) -> Path:
    """Return the archive of the base system; it is made when it is not there yet.

    The caller holds the cache's lock. An archive gets its name when it is whole, so one that is there can be used.

    Args:
        cache: where archives are kept.
        sources: the distribution's repositories; the first is what the base comes from.
        settings: how the host's apt fetches.
        bundle: the certificate authorities that the host trusts.
        report: is told how it goes.

    Raises:
        ProgramFailed: debootstrap failed.
        SetupFailed: debootstrap cannot use the repository.
    """
    origin = sources[0]
    beside = [source for source in sources if (source.uri, source.release) == (origin.uri, origin.release)]
    components = [source.component for source in beside]
    identity = "\n".join((_FORMAT, origin.uri, origin.release, *components, ADD_LOCALES))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    archive = cache.root / f"base-{origin.release}-{os.uname().machine}-{digest}.tar"
    if archive.is_file():
        return archive
    if not origin.uri.startswith(_SCHEMES):
        raise SetupFailed(
            f"debootstrap cannot fetch from {origin.uri}",
            hint="add a repository with an http, https or file address to apt's sources",
        )
    async with cache.work_tree() as work:
        root = work / "root"
        keyring = work / "keyring.gpg"
        keyring.write_bytes(read_keyring(origin.uri))
        lines = 0

        def tell(fraction: float, text: str) -> None:
            report(Progress(_STEP, "working", text, fraction))

        def on_line(line: str) -> None:
            nonlocal lines
            lines += 1
            report(Progress(_STEP, "working", line.removeprefix("I: ").strip(), min(lines / _LINES, 0.99) * _SHARE))

        tell(0.0, f"debootstrap {origin.release} from {origin.uri}")
        command = ["debootstrap", "--variant=minbase", "--force-check-gpg", f"--keyring={keyring}"]
        command += [f"--components={','.join(dict.fromkeys(components))}", origin.release, str(root), origin.uri]
        variables = {**os.environ, **settings.proxies}
        await run_program(command, wrapper=(*NAMESPACES, "--"), environment=variables, on_line=on_line)
        tree = Chroot(root)
        tree.make_devices()
        tree.configure(sources, settings, bundle)
        await tree.install(("ca-certificates",), on_progress=lambda _share, text: tell(_SHARE, text))
        tell(0.9, "adding locales")
        try:
            await tree.run(["sh", "-ec", ADD_LOCALES])
        except ProgramFailed as error:
            tell(0.9, f"going on without locales: {error.message.splitlines()[-1]}")
        tree.clean()
        partial = work / "base.tar"
        await run_program([*pack_command(root), f"--file={partial}"])
        partial.replace(archive)
    size = archive.stat().st_size >> 20
    report(Progress(_STEP, "done", f"base system {origin.release}, {size} MB", 1.0))
    return archive
