"""The ways in which a Docker engine lets containers have sandboxes inside, learned from the first that tries."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Literal, TypeAlias

from interpreter_tools._docker.spec import BoxWay
from interpreter_tools._exceptions import SandboxUnavailable

if TYPE_CHECKING:
    from interpreter_tools._container.shape import Shape
    from interpreter_tools._docker.spec import HostTraits

Isolation: TypeAlias = Literal["container", "sandbox", "reset"]
"""The thing around a program: a container for it alone, a sandbox in one, or a container that is reset after it."""

_LOG = logging.getLogger("interpreter_tools")
_FEWEST_PROCESSES = 16  # of these, four are ours, and Node.js alone begins with seven threads
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

_refusals: dict[tuple[str, str], dict[BoxWay, SandboxUnavailable]] = {}


class Boxes:
    """The ways to a sandbox on one Docker engine, which all engines of this process remember together.

    Args:
        engine: the address of the Docker engine.
        traits: the traits of its host.
        isolation: of ``EngineConfig``. ``"sandbox"``: a container without sandboxes is an error.
    """

    def __init__(self, engine: str, traits: HostTraits, isolation: Literal["auto", "sandbox", "container"]) -> None:
        self._engine = engine
        self._traits = traits
        self._isolation = isolation

    def __repr__(self) -> str:
        return f"<Boxes {self._isolation}>"

    def way(self, shape: Shape, *, installs: bool) -> BoxWay | None:
        """Return the way in which a container gets sandboxes; None for a container that has none.

        Raises:
            SandboxUnavailable: they are insisted on, and cannot be had.
        """
        if installs or self._isolation == "container":
            return None
        refused, why = self._refused(shape), self._exception(shape)
        if why is not None:
            error = SandboxUnavailable(why, hint="set isolation='auto', which runs the code without it")
        elif len(refused) < len(BoxWay):
            return next(way for way in BoxWay if way not in refused)
        else:
            error = refused[BoxWay.UNMASKED]
        if self._isolation == "sandbox":
            raise error
        return None

    def _exception(self, shape: Shape) -> str | None:
        """Return why containers of a shape have no sandboxes on any host; None where they may."""
        config = shape.config
        if self._traits.podman:
            return "Podman's containers have no sandbox inside"
        if config.network != "none" and shape.reused and not shape.only_boxed:
            return "a container with a network that is used again has no sandbox inside"
        if config.pids_limit < _FEWEST_PROCESSES:
            return f"a limit of {config.pids_limit} processes leaves no room for a sandbox beside the program's own"
        return None

    def after(self, shape: Shape, way: BoxWay, error: SandboxUnavailable) -> BoxWay | None:
        """Return what to try after a way that did not work, and remember that the Docker host refuses this way.

        Not remembered: what is the fault of the shape's mounts, and a lack of memory or the like, which passes. This
        container then has no sandboxes, and the next one tries again.

        Raises:
            SandboxUnavailable: sandboxes are insisted on, and cannot be had.
        """
        if error.step == "mount" or error.errno in _PASSING:
            if self._isolation == "sandbox":
                raise error
            return None
        _LOG.info("no sandboxes on %s by way of %s: %s", self._engine, way.name.lower(), error)
        self._refused(shape)[way] = error
        return self.way(shape, installs=False)

    def _refused(self, shape: Shape) -> dict[BoxWay, SandboxUnavailable]:
        runtime = shape.config.runtime or self._traits.default_runtime
        return _refusals.setdefault((self._engine, runtime), {})
