"""One sandbox: a container, its channel, and the user that runs in it."""

from __future__ import annotations

import logging
import os
import time
import uuid
from typing import TYPE_CHECKING, Self

import anyio

from interpreter_tools._config.paths import shown_path
from interpreter_tools._container.channel import Channel
from interpreter_tools._container.live_limits import LiveLimits
from interpreter_tools._deadline import awake_timeout
from interpreter_tools._docker.spec import HostTraits, container_spec
from interpreter_tools._docker.users import give_back_uid, other_uid, take_uid
from interpreter_tools._exceptions import (
    ArchitectureMismatch,
    ContainerStartFailed,
    DockerApiError,
    DockerUnavailable,
    InterpreterMissing,
    InterpreterToolsError,
    MachineError,
    SandboxUnavailable,
)
from interpreter_tools._protocol import Clean, Ready, Refused, Reset
from interpreter_tools._protocol.constants import BootMode, Box, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._config.model import ContainerConfig
    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.shape import Shape
    from interpreter_tools._docker import DockerClient, SupervisorVolume
    from interpreter_tools._docker.spec import BoxWay
    from interpreter_tools._protocol import Hello

_LOG = logging.getLogger("interpreter_tools")
_MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine, elf(5)
_START_DEADLINE = 60.0
_CLOSE_DEADLINE = 30.0
_RESET_DEADLINE_MS = 2000
_STEPS = {
    Box.NONE: "the supervisor was not asked for them",
    Box.USER: "no user namespace can be made",
    Box.IDS: "the ids of a user namespace cannot be mapped",
    Box.NAMESPACES: "no namespaces of processes, files and the network can be made",
    Box.FILES: "no new file systems can be mounted",
    Box.PROC: "no new /proc can be mounted",
    Box.MASKS: "parts of /proc and /sys cannot be hidden",
    Box.NETWORK: "the loopback interface cannot be set up",
    Box.POWERS: "capabilities cannot be dropped",
    Box.FILTER: "no second filter of system calls can be installed",
    Box.SUPERVISOR: "the supervisor of a sandbox does not start",
    Box.MOUNT: "a file or directory that is mounted cannot be mounted there",
}
_BOOT_MODES = {None: BootMode.NONE, "fork": BootMode.FORK, "single": BootMode.SINGLE}


def _sandbox_refused(greeting: Hello) -> SandboxUnavailable:
    why = f"{_STEPS[greeting.box]}: {os.strerror(greeting.errno)}"
    return SandboxUnavailable(
        f"this Docker host allows no sandboxes inside of a container: {why}",
        step=greeting.box.name.lower(),
        errno=greeting.errno,
        hint="`interpreter-tools doctor` says what forbids it; isolation='auto' runs the code without it",
    )


class Container:
    """A container whose supervisor answers and whose interpreter is booted.

    Attributes:
        id: its id on the Docker engine.
        name: its name there.
        ports: the port on 127.0.0.1 of the engine's machine, for each port of its configuration.
        left_out: modules of ``ContainerConfig.preload`` that were not imported, each with the reason.
        shape: its shape.
        channel: its channel.
        uid: the user that programs run as; the other one of its pair after each reset.
        born: the time of its start, on the monotonic clock.
        idle_since: the time at which it was last used, on the same clock.
        uses: runs so far.
        boxed: True when its programs run in sandboxes inside, of which a reset throws one away.
    """

    def __init__(
        self, client: DockerClient, container_id: str, shape: Shape, channel: Channel, *, name: str, uid: int, cpus: int
    ) -> None:
        self._client = client
        self._closed = False
        self._started = False
        self._limits = LiveLimits(client, container_id, shape.config, cpus=cpus)
        self.id = container_id
        self.name = name
        self.ports: dict[int, int] = {}
        self.left_out: tuple[str, ...] = ()
        self.shape = shape
        self.channel = channel
        self.uid = uid
        self.born = self.idle_since = time.monotonic()
        self.uses = 0
        self.boxed = False
        self._reset: Reset | None = None

    def __repr__(self) -> str:
        return f"<Container {self.id[:12]} {self.shape.label} [{self.uses} uses]>"

    @classmethod
    async def start(
        cls,
        client: DockerClient,
        shape: Shape,
        *,
        supervisor: SupervisorVolume,
        labels: Mapping[str, str],
        traits: HostTraits,
        installer: str | None = None,
        box: BoxWay | None = None,
        new_networks: bool = False,
    ) -> Self:
        """Create and start a container, and wait until an interpreter is booted in it.

        Args:
            client: the engine.
            shape: the shape of the container.
            supervisor: the volume that holds the supervisor.
            labels: the labels of its owner.
            traits: the traits of the engine's host.
            installer: the name of an installer's container; None for a sandbox.
            box: the way in which it has sandboxes of its own; None means that it has none.
            new_networks: True when each of its sandboxes has a new network namespace.

        Raises:
            SandboxUnavailable: it can have none.
            ImageMissing: the image is gone.
            InterpreterMissing: the image does not hold the interpreter.
            ContainerStartFailed: the supervisor did not come to life.
            NetworkMissing: there is no such network.
            DockerApiError, DockerUnavailable: the Docker engine refused.
        """
        uid = take_uid() if shape.uid is None else shape.uid
        spec = container_spec(
            shape.image_id,
            shape.config,
            volume=supervisor.name,
            labels=labels,
            uid=uid,
            traits=traits,
            workspace_volume=shape.workspace_volume,
            installs=installer is not None,
            box=box,
            new_networks=new_networks,
            image_volumes=shape.image_volumes,
        )
        name = installer or f"interpreter-tools-{uuid.uuid4().hex}"
        try:
            container_id = await client.create_container(spec, name=name)
        except BaseException:
            if shape.uid is None:
                give_back_uid(uid)
            raise
        channel = Channel()
        container = cls(client, container_id, shape, channel, name=name, uid=uid, cpus=traits.cpus)
        container.boxed = box is not None
        try:
            async with awake_timeout(_START_DEADLINE):
                await supervisor.check(client, container_id)
                await client.attach(container_id, lambda: channel)
                await container._boot()
        except TimeoutError:
            await container.aclose()
            message = f"a container of {shape.image} did not start within {_START_DEADLINE:g} s"
            hint = "the machine may have too much to do: start fewer at once, or ask `interpreter-tools doctor`"
            raise ContainerStartFailed(message, hint=hint) from None
        except InterpreterToolsError as error:
            await container.aclose()
            if isinstance(error, MachineError):
                raise
            message = f"a container of {shape.image} did not start: {error.message}"
            raise ContainerStartFailed(message, hint=error.hint) from error
        except BaseException:
            await container.aclose()
            raise
        return container

    async def _boot(self) -> None:
        channel, connection, shape = self.channel, self.channel.connection, self.shape
        self._started = True
        await self._client.start_container(self.id)
        if shape.config.ports:
            self.ports = await self._client.published_ports(self.id)
        greeting = await channel.greeting()
        if self.boxed and greeting.box is not Box.MADE:
            raise _sandbox_refused(greeting)
        if greeting.machine != _MACHINES.get(self._client.version.arch, greeting.machine):
            raise ArchitectureMismatch(f"the supervisor is not for the Docker host's {self._client.version.arch}")
        data = connection.boot(_BOOT_MODES[shape.boot_mode], shape.boot_command, shape.boot_environment, uid=self.uid)
        answer = await channel.ask(data, silence=None, patience=0.0)  # the start has a deadline
        if isinstance(answer, Refused):
            program, words = shape.boot_command[0], shown_path(answer.subject).strip()
            detail = words if words != program else os.strerror(answer.errno) if answer.errno else "it ended at once"
            raise InterpreterMissing(program, shape.image, detail)
        if isinstance(answer, Ready) and answer.note:
            self.left_out = tuple(answer.note.split("; "))
            _LOG.warning("%s: not imported ahead: %s", shape.image, answer.note)
        self.idle_since = time.monotonic()

    @property
    def reused(self) -> bool:
        """True when it is used again, after a reset. A container's network that sandboxes have is not reset."""
        again = self.shape.config.network == "none" if self.boxed else not self.shape.only_boxed
        return self.shape.reused and again

    @property
    def resets_at_once(self) -> bool:
        """True when a reset follows the run at once; False when it waits for a pause, because the boot takes long."""
        return self.reused and self.shape.boot_mode != "single"

    @property
    def isolation(self) -> Isolation:
        """The thing around a program in it, see ``ExecutionResult``."""
        return "sandbox" if self.boxed else "reset" if self.reused else "container"

    def plan_reset(self) -> Reset:
        """Return the reset to send: with the next START, or later as RESET."""
        if self._reset is None:
            self._reset = Reset(_RESET_DEADLINE_MS, other_uid(self.uid))
        return self._reset

    def ask_for_reset(self) -> None:
        """Send RESET, unless it was sent with the START of the run; answered by Clean."""
        if self._reset is None:
            self.channel.send(self.channel.connection.reset(self.plan_reset()))

    def withdraw_reset(self) -> None:
        """Forget the reset that was sent with a START: the supervisor refused that START, and skips the reset too."""
        self._reset = None

    def was_reset(self, answer: Clean) -> str | None:
        """Take the next user after a reset; return the cause to terminate the container, or None when it can go on."""
        assert self._reset is not None
        planned, self._reset = self._reset, None
        if answer.verdict is Verdict.MOUNT:
            return "mount"  # the last run left nothing: the caller's file has gone
        if answer.verdict is not Verdict.OK:
            return f"reset: {answer.verdict.name.lower()}"
        self.uid = planned.uid
        self.idle_since = time.monotonic()
        return None

    async def apply_limits(self, config: ContainerConfig) -> None:
        """Set the container's limits, see ``LiveLimits.apply``; ask the engine only when a limit changes."""
        await self._limits.apply(config)

    async def restore_limits(self) -> None:
        """Set the limits that the container was made with; ask the engine only when a limit changes."""
        await self._limits.restore()

    async def aclose(self) -> None:
        """Kill and remove the container, within 30 seconds. Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self.channel.close()
        try:
            with anyio.move_on_after(_CLOSE_DEADLINE, shield=True):
                if self._started:
                    await self._client.end_container(self.id)
                else:
                    await self._client.remove_container(self.id)
        except (DockerApiError, DockerUnavailable):
            _LOG.warning("a container could not be removed; its supervisor ends it", exc_info=True)
        finally:
            if self.shape.uid is None:
                give_back_uid(self.uid)
