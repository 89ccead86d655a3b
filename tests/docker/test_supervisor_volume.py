"""The volume with the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import uuid
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._docker import DockerClient, Owner, SupervisorVolume, ensure_supervisor_volume, load_supervisor
from interpreter_tools._docker.records import ignore
from interpreter_tools._docker.spec import SECCOMP, SUPERVISOR_DIRECTORY, SUPERVISOR_PATH
from interpreter_tools._docker.supervisor import LABEL
from interpreter_tools._docker.users import NAMED
from interpreter_tools._exceptions import ArchitectureMismatch, MachineError
from interpreter_tools._languages.python import sandbox_modules

from .conftest import IMAGE, RunInSandbox, spec_of

if TYPE_CHECKING:
    import tarfile
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.docker, pytest.mark.alone]


@pytest.fixture
async def program(client: DockerClient) -> AsyncIterator[bytes]:
    """A supervisor that no other test has: a program does not mind what comes after its end."""
    program = await asyncio.to_thread(load_supervisor, client.version.arch) + uuid.uuid4().bytes
    before = {volume.name for volume in await client.list_volumes({LABEL: None})}
    yield program
    assert not await client.list_containers(labels={LABEL: None})
    for volume in await client.list_volumes({LABEL: None}):
        if volume.name not in before:
            await client.remove_volume(volume.name)
            await client.remove_image(f"interpreter-tools-supervisor:{volume.labels[LABEL]}")


async def contents(client: DockerClient, owner: Owner, volume: SupervisorVolume) -> dict[str, bytes]:
    """What is in the volume, seen in a container that is never started."""
    mount = {"Type": "volume", "Source": volume.name, "Target": SUPERVISOR_DIRECTORY, "VolumeOptions": {"NoCopy": True}}
    container = await client.create_container(spec_of(owner, host={"Mounts": [mount]}))
    path = f"containers/{container}/archive"
    docker = (await client._connection.library()).docker
    tar: tarfile.TarFile = await docker._query_json(path, "GET", params={"path": SUPERVISOR_DIRECTORY})
    await client.remove_container(container)
    files = {member.name.rpartition("/")[2]: tar.extractfile(member) for member in tar if member.isfile()}
    return {name: file.read() for name, file in files.items() if file is not None}


async def test_volume_holds_the_supervisor(client: DockerClient, owner: Owner, program: bytes) -> None:
    """And files that engines take by their path, among them users and groups; the second time the same."""
    volume = await ensure_supervisor_volume(client, program=program)
    assert volume.entrypoint == SUPERVISOR_PATH
    hosts = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    files = {
        "hosts": hosts,
        "python-modules": sandbox_modules(),
        "seccomp.json": SECCOMP.encode(),
        "supervisor": program,
    }
    found = await contents(client, owner, volume)
    assert len(found) == len(files) + 2 * NAMED
    assert files.items() <= found.items()
    assert b"\nsandbox:x:10000:10000:sandbox:/tmp/home:/bin/sh\n" in found["passwd-0"]
    assert b"\nsandbox:x:10001:\n" in found["group-0"]
    assert await ensure_supervisor_volume(client, program=program) == volume


async def test_another_supervisor_gets_another_volume(client: DockerClient, program: bytes) -> None:
    """So that versions live side by side."""
    volumes = [await ensure_supervisor_volume(client, program=program + more) for more in (b"1", b"2")]
    assert volumes[0].name != volumes[1].name


async def test_many_at_once(client: DockerClient, owner: Owner, program: bytes) -> None:
    """From several connections, none of which knows of the others."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await DockerClient.connect()) for _ in range(6)]
        volumes = await asyncio.gather(*(ensure_supervisor_volume(one, program=program) for one in clients))
    assert len({volume.name for volume in volumes}) == 1
    assert (await contents(client, owner, volumes[0]))["supervisor"] == program


async def test_volume_with_something_else_is_filled_anew(client: DockerClient, owner: Owner, program: bytes) -> None:
    """A copy that was cut short, for example: the volume exists, and is not empty."""
    volume = await ensure_supervisor_volume(client, program=program)
    await spoil(client, owner, volume)
    assert await ensure_supervisor_volume(client, program=program) == volume
    assert (await contents(client, owner, volume))["supervisor"] == program


async def test_spoilt_volume_in_use_is_an_error(client: DockerClient, owner: Owner, program: bytes) -> None:
    """What is used cannot be replaced: the message names the volume."""
    volume = await ensure_supervisor_volume(client, program=program)
    await spoil(client, owner, volume)
    mount = {"Type": "volume", "Source": volume.name, "Target": "/x", "VolumeOptions": {"NoCopy": True}}
    user = await client.create_container(spec_of(owner, host={"Mounts": [mount]}))
    with pytest.raises(MachineError, match=f"{volume.name} cannot be filled") as caught:
        await ensure_supervisor_volume(client, program=program)
    assert f"docker volume rm {volume.name}" in caught.value.hint
    await client.remove_container(user)


async def spoil(client: DockerClient, owner: Owner, volume: SupervisorVolume) -> None:
    """Put half a supervisor into the volume."""
    await client.remove_volume(volume.name)
    await client.create_volume(volume.name, {LABEL: volume.name.rpartition("-")[2]})
    mount = {"Type": "volume", "Source": volume.name, "Target": "/x"}
    spec = spec_of(owner, "sh", "-c", "echo half > /x/supervisor; chmod 755 /x/supervisor", host={"Mounts": [mount]})
    container = await client.create_container(spec)
    await client.start_container(container)
    await client._connection.request("wait", "POST", f"containers/{container}/wait", read=ignore)
    await client.remove_container(container)


async def test_container_that_was_left_is_in_nobodys_way(client: DockerClient, owner: Owner, program: bytes) -> None:
    """Its process was killed after it had created the container that fills the volume, here: with nothing in it."""
    volume = await ensure_supervisor_volume(client, program=program)
    await client.remove_volume(volume.name)
    await client.create_container({**spec_of(owner), "Image": IMAGE}, name=volume.name)
    assert await ensure_supervisor_volume(client, program=program) == volume


async def test_cancelled_filling_leaves_nothing_in_the_way(client: DockerClient, owner: Owner, program: bytes) -> None:
    """Wherever it is cancelled; seeded, so that a failure comes again."""
    moments = random.Random(7)
    async with await DockerClient.connect() as hasty:
        for _ in range(15):
            task = asyncio.ensure_future(ensure_supervisor_volume(hasty, program=program))
            await asyncio.sleep(moments.uniform(0, 0.05))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    volume = await ensure_supervisor_volume(client, program=program)
    assert (await contents(client, owner, volume))["supervisor"] == program


async def test_supervisor_is_read_only_in_a_sandbox(run_in_sandbox: RunInSandbox) -> None:
    """Not even root can change it, or add to it."""
    script = "ls /.interpreter-tools; chmod 777 /.interpreter-tools/supervisor; touch /.interpreter-tools/x"
    output = await run_in_sandbox(["sh", "-c", script])
    assert output.startswith("accounts\nhosts\npython-modules\nseccomp.json\nsupervisor\n")
    assert output.count("Read-only file system") == 2


async def test_unknown_processor_is_an_architecture_mismatch() -> None:
    """With the ones that would do."""
    with pytest.raises(ArchitectureMismatch, match="'riscv64'; sandboxes run on aarch64 and x86_64"):
        load_supervisor("riscv64")


async def test_both_supervisors_are_programs_for_their_processor() -> None:
    """The machine's number stands at offset 18 of an ELF file."""
    for architecture, machine in (("x86_64", 62), ("aarch64", 183)):
        head = io.BytesIO(load_supervisor(architecture)).read(20)
        assert head[:4] == b"\x7fELF"
        assert int.from_bytes(head[18:20], "little") == machine
