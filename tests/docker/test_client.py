"""The Docker client, against a real engine, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import io
import tarfile
import uuid
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._docker import DockerClient, EngineInfo, Owner
from interpreter_tools._exceptions import DockerApiError, DockerUnavailable, ImageMissing
from tests.relay import Relay
from tests.watch import inspect_container

from .conftest import VERSION, Serve, answer, spec_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.docker


BRIEF = pytest.mark.parametrize("brief", [False, True], ids=["aiodocker", "brief"])
"""Both ways of a plain request; the command line is brief."""


def tree(**files: bytes) -> bytes:
    """A tar."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return output.getvalue()


async def test_engine_is_known_after_connect(client: DockerClient, info: EngineInfo) -> None:
    """Which engine, and what it can do."""
    assert client.version.arch in {"x86_64", "aarch64"}
    assert client.version.os == "linux"
    assert info.cgroup_version in {"1", "2"}
    assert info.default_runtime in info.runtimes
    assert info.seccomp
    assert info.system_time is not None
    assert "[open]" in repr(client)


@BRIEF
async def test_unreachable_engine_names_every_address_and_what_to_do(
    brief: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to guess where was looked."""
    with pytest.raises(DockerUnavailable) as caught:
        await DockerClient.connect("unix:///nowhere/docker.sock", brief=brief)
    assert "docker_host, unix:///nowhere/docker.sock: " in caught.value.message
    assert "interpreter-tools setup" in caught.value.hint
    monkeypatch.setenv("DOCKER_HOST", "ssh://somewhere")
    with pytest.raises(DockerUnavailable, match="DOCKER_HOST, ssh://somewhere: ssh:// is not supported"):
        await DockerClient.connect(brief=brief)


@BRIEF
async def test_engine_that_does_not_answer_is_given_up(brief: bool, scripted: Serve) -> None:
    """A socket that accepts is no engine yet."""
    engine = await scripted(lambda _request, _count: None)
    with pytest.raises(DockerUnavailable, match=r"no answer within 0\.2 s"):
        await DockerClient.connect(engine.host, connect_deadline=0.2, brief=brief)


@BRIEF
async def test_what_answers_may_be_no_engine(brief: bool, scripted: Serve) -> None:
    """Something else may listen there."""
    engine = await scripted(lambda _request, _count: answer('{"hello": 1}'))
    with pytest.raises(DockerUnavailable, match="missing required field"):
        await DockerClient.connect(engine.host, brief=brief)


@BRIEF
async def test_failing_engine_is_asked_again_where_that_does_no_harm(brief: bool, scripted: Serve) -> None:
    """GET and DELETE are repeated, POST is not."""

    def fail_twice(request: str, count: int) -> bytes:
        if request == "GET /version":
            return VERSION
        return (
            answer("[]" if request.startswith("GET") else '{"Id": "x"}')
            if count > 2
            else answer('{"message": "busy"}', 500)
        )

    engine = await scripted(fail_twice)
    async with await DockerClient.connect(engine.host, brief=brief) as client:
        assert client.version.arch == "aarch64"
        assert await client.list_containers(labels={}) == []
        await client.remove_container("x")
        with pytest.raises(DockerApiError, match="create container: the Docker engine answered 500: busy"):
            await client.create_container({"Image": "x"})
    assert engine.requests.count("GET /v1.41/containers/json") == 3
    assert engine.requests.count("DELETE /v1.41/containers/x") == 3
    assert engine.requests.count("POST /v1.41/containers/create") == 1


@BRIEF
async def test_broken_connection_is_an_unavailable_engine(brief: bool, scripted: Serve) -> None:
    """The engine may die in the middle of an answer."""
    engine = await scripted(lambda request, _count: VERSION if request == "GET /version" else b"")
    async with await DockerClient.connect(engine.host, brief=brief) as client:
        with pytest.raises(DockerUnavailable, match="inspect the engine"):
            await client.info()


@BRIEF
async def test_hanging_call_ends_at_the_deadline(brief: bool, scripted: Serve) -> None:
    """Status 0 stands for no answer."""
    engine = await scripted(lambda request, _count: VERSION if request == "GET /version" else None)
    async with await DockerClient.connect(engine.host, deadline=0.2, brief=brief) as client:
        with pytest.raises(DockerApiError, match=r"no answer within 0\.2 s") as caught:
            await client.list_containers(labels={})
    assert caught.value.status == 0


async def test_missing_image_is_told_by_name(client: DockerClient) -> None:
    """With the way to get it."""
    with pytest.raises(ImageMissing, match="'nobody/has:this'") as caught:
        await client.create_container({"Image": "nobody/has:this"})
    assert caught.value.image == "nobody/has:this"
    assert await client.inspect_image("nobody/has:this") is None
    await client.remove_image("nobody/has:this")


async def test_refusal_carries_the_engines_words_and_a_hint(client: DockerClient, owner: Owner) -> None:
    """Operation, status, text, and what to do."""
    spec = spec_of(owner, host={"Runtime": "no-such-runtime"})
    with pytest.raises(DockerApiError) as caught:
        await client.create_container(spec)
    error = caught.value
    assert error.operation == "create container"
    assert error.status >= 400
    assert "no-such-runtime" in error.detail
    assert "ContainerConfig.runtime" in error.hint


async def test_life_of_a_container(client: DockerClient, owner: Owner) -> None:
    """Create, list, start, inspect, update, remove; removing it twice, even at once, is no error."""
    labels = {"interpreter-tools.owner": owner.id}
    container = await client.create_container(spec_of(owner, host={"Memory": 1 << 26, "MemorySwap": 1 << 26}))
    (summary,) = await client.list_containers(labels={**labels, "interpreter-tools.pid": None})
    assert (summary.id, summary.state) == (container, "created")
    assert summary.names[0].startswith("interpreter-tools-")
    await client.start_container(container)
    await client.update_container(container, {"Memory": 1 << 27, "MemorySwap": 1 << 27})
    found = await inspect_container(client, container)
    assert found is not None
    assert found["HostConfig"]["Memory"] == 1 << 27
    await asyncio.gather(*(client.remove_container(container) for _ in range(4)))
    await client.remove_container(container)
    assert await inspect_container(client, container) is None
    assert await client.list_containers(labels=labels) == []


@BRIEF
async def test_cancelled_create_leaves_no_container(brief: bool, client: DockerClient, owner: Owner) -> None:
    """Wherever the cancellation hits: before the request, in the middle, after the engine is done."""
    async with await DockerClient.connect(brief=brief) as hasty:
        for wait in (0, 0.0005, 0.001, 0.002, 0.004, 0.006, 0.008, 0.012):
            task = asyncio.ensure_future(hasty.create_container(spec_of(owner)))
            await asyncio.sleep(wait)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                await client.remove_container(task.result())
    assert await client.list_containers(labels={"interpreter-tools.owner": owner.id}) == []


@BRIEF
async def test_container_that_is_created_late_is_removed(
    brief: bool, client: DockerClient, owner: Owner, tmp_path: Path
) -> None:
    """The caller got an error at the deadline, but the engine was still at it."""
    async with (
        Relay(tmp_path / "docker.sock") as relay,
        await DockerClient.connect(relay.address, deadline=0.2, brief=brief) as hasty,
    ):
        relay.delay = 1.0
        with pytest.raises(DockerApiError, match="no answer"):
            await hasty.create_container(spec_of(owner))
        hasty._connection.deadline = 60.0
    assert await client.list_containers(labels={"interpreter-tools.owner": owner.id}) == []


@BRIEF
async def test_closed_twice(brief: bool) -> None:
    """The second time nothing is left to do."""
    client = await DockerClient.connect(brief=brief)
    await client.aclose()
    await client.aclose()
    assert "[closed]" in repr(client)


async def test_remote_engine(remote_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TCP, named by DOCKER_HOST."""
    monkeypatch.setenv("DOCKER_HOST", remote_host)
    async with await DockerClient.connect() as client:
        assert client.endpoint.source == "DOCKER_HOST"
        assert (await client.info()).id


async def test_remote_engine_behind_tls(tls_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a certificate of ours; without it the message says so."""
    async with await DockerClient.connect(tls_host) as client:
        assert (await client.info()).id
    monkeypatch.delenv("DOCKER_CERT_PATH")
    monkeypatch.setenv("DOCKER_CONFIG", "/nowhere")
    with pytest.raises(DockerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await DockerClient.connect(tls_host)


@pytest.fixture
async def image(client: DockerClient) -> AsyncIterator[str]:
    """A tag for an image of the test, which is removed."""
    tag = f"interpreter-tools-test/{uuid.uuid4().hex[:12]}:1"
    yield tag
    await client.remove_image(tag)


async def test_image_is_made_of_a_tree(client: DockerClient, image: str) -> None:
    """In pieces, with settings."""
    data = tree(hello=b"hi" * 10000)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 4096):
            yield data[start : start + 4096]

    image_id = await client.import_image(pieces(), tag=image, changes=["ENV A=b c=d", "LABEL x=y"])
    found = await client.inspect_image(image)
    assert found is not None
    assert (found.id, found.labels, found.environment) == (image_id, {"x": "y"}, ("A=b", "c=d"))
    assert found.architecture == client.version.arch
    assert image in found.tags


async def test_broken_tree_is_refused(client: DockerClient, image: str) -> None:
    """The engine's error comes in the middle of a good answer."""
    with pytest.raises(DockerApiError, match="import image"):
        await client.import_image(b"this is no tar" * 100, tag=image)
    assert await client.inspect_image(image) is None


async def test_pull_from_a_registry_that_is_not_there(client: DockerClient) -> None:
    """Refused by the engine, with its words."""
    with pytest.raises(DockerApiError, match=r"pull 127\.0\.0\.1:1/x:1: .*connection refused"):
        async for _ in client.pull_image("127.0.0.1:1/x:1"):
            pass


async def test_life_of_a_volume(client: DockerClient, owner: Owner) -> None:
    """Create (twice), list, remove (twice); one in use stays."""
    name = f"interpreter-tools-test-{uuid.uuid4().hex[:12]}"
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    made = await client.create_volume(name, owner.labels(), options=options)
    assert await client.create_volume(name, owner.labels(), options=options) == made
    listed = await client.list_volumes({"interpreter-tools.owner": owner.id})
    assert listed == [made]
    mount = {"Type": "volume", "Source": name, "Target": "/data"}
    container = await client.create_container(spec_of(owner, host={"Mounts": [mount]}))
    with pytest.raises(DockerApiError) as caught:
        await client.remove_volume(name)
    assert caught.value.status == 409
    await client.remove_container(container)
    await client.remove_volume(name)
    await client.remove_volume(name)
