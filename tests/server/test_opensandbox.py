# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
"""The wire of OpenSandbox by its unchanged clients, `opensandbox` and `opensandbox-code-interpreter`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx2
import pytest
from code_interpreter import CodeInterpreter
from code_interpreter.models.code import CodeContext, SupportedLanguage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opensandbox import Sandbox, SandboxManager, SandboxSync
from opensandbox.config import ConnectionConfig, ConnectionConfigSync
from opensandbox.exceptions import SandboxApiException
from opensandbox.models.execd import ExecutionHandlers, RunCommandOpts
from opensandbox.models.filesystem import (
    ContentReplaceEntry,
    DirectoryListEntry,
    MoveEntry,
    SearchEntry,
    SetPermissionEntry,
    WriteEntry,
)
from opensandbox.models.sandboxes import NetworkPolicy, NetworkRule, SandboxFilter

from tests.watch import eventually

from .serving import KEY, OTHER_KEY, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import ExecutionEngine

    from .serving import Served

pytestmark = pytest.mark.docker

_IMAGE = "opensandbox/code-interpreter:latest"
logging.getLogger("opensandbox").setLevel(logging.CRITICAL)
logging.getLogger("code_interpreter").setLevel(logging.CRITICAL)


@pytest.fixture
async def served(engine: ExecutionEngine) -> AsyncGenerator[Served]:
    """A server with all wires: this one is found among them."""
    async with serving(engine) as served:
        yield served


def _config(served: Served, key: str = KEY) -> ConnectionConfig:
    return ConnectionConfig(domain=served.url, api_key=key)


@contextlib.asynccontextmanager
async def _sandbox(served: Served, **options: object) -> AsyncGenerator[Sandbox]:
    config = _config(served)
    sandbox = await Sandbox.create(_IMAGE, connection_config=config, **options)  # pyright: ignore[reportArgumentType]
    try:
        yield sandbox
    finally:
        with contextlib.suppress(SandboxApiException):  # it has ended already
            await sandbox.kill()
        await sandbox.close()


@pytest.fixture
async def sandbox(served: Served) -> AsyncGenerator[Sandbox]:
    """A sandbox."""
    async with _sandbox(served, env={"GIVEN": "it"}, metadata={"team": "a&b"}) as sandbox:
        yield sandbox


def _text(messages: list[object]) -> str:
    return "".join(str(getattr(message, "text", "")) for message in messages)


async def test_life_of_a_sandbox(served: Served, sandbox: Sandbox) -> None:
    """It is told, listed, renewed, paused, resumed, renamed and ended."""
    info = await sandbox.get_info()
    assert (info.id, info.status.state, info.metadata) == (sandbox.id, "Running", {"team": "a&b"})
    renewed = await sandbox.renew(timedelta(minutes=30))
    assert abs(renewed.expires_at.timestamp() - time.time() - 1800) < 60
    patched = await sandbox.patch_metadata({"team": None, "name": "n"})
    assert patched.metadata == {"name": "n"}
    async with await SandboxManager.create(connection_config=_config(served)) as manager:
        listed = await manager.list_sandbox_infos(SandboxFilter(states=["Running"], metadata={"name": "n"}))
        assert [each.id for each in listed.sandbox_infos] == [sandbox.id]
        assert (await manager.list_sandbox_infos(SandboxFilter(metadata={"name": "m"}))).sandbox_infos == []
    await sandbox.commands.run("echo kept > kept")
    await sandbox.pause()
    assert (await sandbox.get_info()).status.state == "Paused"
    with pytest.raises(SandboxApiException, match="paused"):
        await sandbox.commands.run("true")
    resumed = await Sandbox.resume(sandbox.id, connection_config=_config(served))
    assert (await resumed.commands.run("cat kept")).text == "kept"
    await resumed.close()
    await sandbox.kill()
    with pytest.raises(SandboxApiException) as caught:
        await sandbox.get_info()
    assert caught.value.status_code == 404


async def test_commands(sandbox: Sandbox) -> None:
    """Output as it comes, exit codes, directory, variables, time limits and arguments as they are."""
    seen: list[str] = []

    async def on_stdout(message: object) -> None:
        seen.append(_text([message]))

    found = await sandbox.commands.run(
        "echo one; sleep 0.3; echo two; echo err >&2; exit 3", handlers=ExecutionHandlers(on_stdout=on_stdout)
    )
    assert (found.exit_code, _text([*found.logs.stdout]), _text([*found.logs.stderr])) == (3, "one\ntwo\n", "err\n")
    assert seen == ["one\n", "two\n"]
    opts = RunCommandOpts(working_directory="/tmp", envs={"MORE": "a 'b'"})
    assert (await sandbox.commands.run("pwd; echo $GIVEN $MORE", opts=opts)).text == "/tmp\nit a 'b'"
    assert (await sandbox.commands.run(["echo", "$GIVEN", "a  b"])).text == "$GIVEN a  b"
    late = await sandbox.commands.run("sleep 60", opts=RunCommandOpts(timeout=timedelta(milliseconds=500)))
    assert late.exit_code == 124
    await sandbox.commands.set_env("KEPT", "it's $5")
    assert (await sandbox.commands.run("true")).exit_code == 0
    await sandbox.commands.set_env("PLAIN", "a b")
    assert (await sandbox.commands.run("echo $PLAIN")).text == "a b"
    for wrong in (RunCommandOpts(uid=0), RunCommandOpts(working_directory="/nowhere")):
        with pytest.raises(SandboxApiException) as caught:
            await sandbox.commands.run("id", opts=wrong)
        assert caught.value.status_code == 400


async def test_commands_in_the_background(sandbox: Sandbox) -> None:
    """Their state, their output from a place on, and their end."""
    opts = RunCommandOpts(background=True)
    started = await sandbox.commands.run("echo first; read -t 60 x < <(sleep 60); echo second", opts=opts)
    assert started.id is not None
    command_id = started.id

    async def first() -> str:
        return (await sandbox.commands.get_background_command_logs(command_id)).content

    await eventually(first, lambda text: text == "first\n", within=20)
    status = await sandbox.commands.get_command_status(command_id)
    assert (status.running, status.exit_code) == (True, None)
    logs = await sandbox.commands.get_background_command_logs(command_id)
    assert (await sandbox.commands.get_background_command_logs(command_id, logs.cursor)).content == ""
    await sandbox.commands.interrupt(command_id)

    async def running() -> bool | None:
        return (await sandbox.commands.get_command_status(command_id)).running

    await eventually(running, lambda value: value is False, within=20)
    with pytest.raises(SandboxApiException) as caught:
        await sandbox.commands.get_command_status("nothing")
    assert caught.value.status_code == 404


async def test_shells_keep_directory_and_variables(sandbox: Sandbox) -> None:
    """Each session is a shell of its own."""
    session = await sandbox.commands.create_session(working_directory="/tmp")
    other = await sandbox.commands.create_session()
    await sandbox.commands.run_in_session(session, "x=5; mkdir -p inner; cd inner")
    found = await sandbox.commands.run_in_session(session, "echo $x $PWD; false")
    assert (found.text, found.exit_code) == ("5 /tmp/inner", 1)
    assert (await sandbox.commands.run_in_session(other, "echo $x$PWD")).text == "/workspace"
    late = await sandbox.commands.run_in_session(session, "sleep 60", timeout=timedelta(milliseconds=300))
    assert late.exit_code == 124
    await sandbox.commands.delete_session(session)
    with pytest.raises(SandboxApiException):
        await sandbox.commands.run_in_session(session, "true")
    with pytest.raises(SandboxApiException):
        await sandbox.commands.create_session(working_directory="/nowhere")


async def test_files(sandbox: Sandbox) -> None:
    """Written, read whole and in part, described, listed, found, changed, moved and removed."""
    files = sandbox.files
    await files.write_files(
        [
            WriteEntry(path="/workspace/a/one.txt", data="eins\nzwei\ndrei\n", mode=640),
            WriteEntry(path="a/two.bin", data=b"\0\xff" * 1000),
            WriteEntry(path="a/three.txt", data=io.BytesIO(b"3" * 300_000)),
        ]
    )
    assert await files.read_file("a/one.txt") == "eins\nzwei\ndrei\n"
    assert await files.read_bytes("a/two.bin") == b"\0\xff" * 1000
    assert await files.read_bytes("a/one.txt", range_header="bytes=5-8") == b"zwei"
    assert await files.read_bytes("a/one.txt", range_header="bytes=-5") == b"drei\n"
    assert await files.read_bytes("a/one.txt", offset=2, limit=1) == b"zwei\n"
    streamed = [piece async for piece in await files.read_bytes_stream("a/three.txt")]
    assert b"".join(streamed) == b"3" * 300_000
    info = (await files.get_file_info(["/workspace/a/one.txt"]))["/workspace/a/one.txt"]
    assert (info.mode, info.size, info.entry_type) == (640, 15, "file")
    await files.set_permissions([SetPermissionEntry(path="a/one.txt", mode=600)])
    assert (await files.get_file_info(["a/one.txt"]))["a/one.txt"].mode == 600
    await files.create_directories([WriteEntry(path="b/c", mode=700), WriteEntry(path="a", mode=755)])
    listed = await files.list_directory(DirectoryListEntry(path="/workspace", depth=2))
    assert {"/workspace/a/two.bin", "/workspace/b/c"} <= {entry.path for entry in listed}
    found = await files.search(SearchEntry(path="/workspace", pattern="*.txt"))
    assert sorted(entry.path for entry in found) == ["/workspace/a/one.txt", "/workspace/a/three.txt"]
    changed = await files.replace_contents_detailed(
        [ContentReplaceEntry(path="a/one.txt", old_content="zwei", new_content="two")]
    )
    assert [each.replaced_count for each in changed] == [1]
    await files.move_files([MoveEntry(source="a/one.txt", destination="b/uno.txt")])
    assert await files.read_file("b/uno.txt") == "eins\ntwo\ndrei\n"
    await files.delete_files(["b/uno.txt", "b/none.txt"])
    await files.delete_directories(["a"])
    for path in ("b/uno.txt", "a/two.bin"):
        with pytest.raises(SandboxApiException) as caught:
            await files.get_file_info([path])
        assert caught.value.status_code == 404


async def test_code_interpreter(sandbox: Sandbox) -> None:
    """Contexts of each language, state, results, errors, an interrupt, and the health that its client asks for."""
    interpreter = await CodeInterpreter.create(sandbox)
    codes = interpreter.codes
    first = await codes.run("x = 40\nprint('out')\nx + 2", language=SupportedLanguage.PYTHON)
    assert (first.text, first.result[0].text) == ("out\n42", "42")
    assert first.execution_count == 1
    assert (await codes.run("x", language=SupportedLanguage.PYTHON)).result[0].text == "40"
    context = await codes.create_context(SupportedLanguage.PYTHON)
    failed = await codes.run("x", context=context)
    assert failed.error is not None
    assert failed.error.name == "NameError"
    assert failed.error.traceback
    assert failed.logs.stderr == []
    bash = await codes.run("echo $((6 * 7)) $GIVEN", language=SupportedLanguage.BASH)
    assert bash.text == "42 it"
    assert context.id is not None
    assert (await codes.get_context(context.id)).language == "python"
    assert context.id in [each.id for each in await codes.list_contexts("python")]
    running: list[str] = []
    printed = asyncio.Event()

    async def on_init(event: object) -> None:
        running.append(str(getattr(event, "id", "")))

    async def on_stdout(message: object) -> None:
        del message
        printed.set()

    handlers = ExecutionHandlers(on_init=on_init, on_stdout=on_stdout)
    code = "print(1, flush=True)\nwhile True: pass"
    endless = asyncio.create_task(codes.run(code, context=context, handlers=handlers))
    async with asyncio.timeout(60):
        await printed.wait()
    await codes.interrupt(running[0])
    stopped = await endless
    assert stopped.error is not None
    assert stopped.error.name == "KeyboardInterrupt"
    await codes.delete_context(context.id)
    with pytest.raises(SandboxApiException):
        await codes.run("1", context=context)
    for language in (SupportedLanguage.JAVA, SupportedLanguage.GO):
        with pytest.raises(SandboxApiException, match="contexts are there for"):
            await codes.run("1", context=CodeContext(language=language))
    await interpreter.aclose()


def _use_sync(served: Served) -> None:
    config = ConnectionConfigSync(domain=served.url, api_key=KEY)
    with SandboxSync.create(_IMAGE, connection_config=config) as sandbox:
        assert sandbox.commands.run("echo hi").text == "hi"
        sandbox.files.write_file("x.txt", "data")
        assert sandbox.files.read_file("x.txt") == "data"
        sandbox.kill()


async def test_sync_client(served: Served) -> None:
    """The same without an event loop."""
    await asyncio.to_thread(_use_sync, served)
    assert len(served.core.sandboxes) == 0


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"image": "registry.example/none:1"}, 400, "is not on this machine"),
        ({"timeout": timedelta(days=400)}, 400, "timeout"),
        ({"resource": {"cpu": "many", "memory": "1Gi"}}, 400, "resourceLimits.cpu"),
        ({"resource": {"cpu": "1", "memory": "large"}}, 400, "resourceLimits.memory"),
        ({"network_policy": NetworkPolicy(egress=[NetworkRule(action="allow", target="x")])}, 501, "egress"),
    ],
)
async def test_wrong_sandboxes_are_refused(served: Served, options: dict[str, object], status: int, said: str) -> None:
    """With the wire's own error, and nothing is left of them."""
    image = options.pop("image", _IMAGE)
    with pytest.raises(SandboxApiException, match=said) as caught:
        await Sandbox.create(image, connection_config=_config(served), **options)  # pyright: ignore[reportArgumentType]
    assert caught.value.status_code == status
    assert caught.value.error is not None
    assert len(served.core.sandboxes) == 0


async def test_what_is_not_there_says_so(served: Served, sandbox: Sandbox) -> None:
    """Snapshots, templates, metrics, diagnostics, egress, credentials, isolated sessions, and ports of one's own."""
    limit = timedelta(seconds=60)
    for ask in (
        sandbox.create_snapshot(),
        sandbox.get_metrics(),
        sandbox.get_endpoint(8080),
        sandbox.get_diagnostic_logs("all"),
        sandbox.get_diagnostic_events("all"),
        sandbox.get_egress_policy(),
        sandbox.patch_egress_rules([]),
        sandbox.delete_egress_rules(["x"]),
        sandbox.credential_vault.get(),
        sandbox.credential_vault.list_credentials(),
        sandbox.isolation.list(),
        sandbox.files_with_identity(0, 0).read_file("x"),
        Sandbox.create_from_template("x", timeout=limit, connection_config=_config(served)),
    ):
        with pytest.raises(SandboxApiException) as caught:
            await ask
        assert caught.value.status_code == 501


async def test_a_key_sees_no_sandbox_of_another(served: Served, sandbox: Sandbox) -> None:
    """Neither its life, nor its execd; and a token opens its own sandbox alone."""
    await sandbox.commands.run("true")
    async with _sandbox(served) as second, httpx2.AsyncClient(base_url=served.url, trust_env=False) as http:
        other = {"OPEN-SANDBOX-API-KEY": OTHER_KEY}
        for path in ("", "/endpoints/44772", "/pause", "/renew-expiration"):
            method = "GET" if path in {"", "/endpoints/44772"} else "POST"
            assert (await http.request(method, f"/v1/sandboxes/{sandbox.id}{path}", headers=other)).status_code == 404
        assert (await http.get("/v1/sandboxes", headers=other)).json()["items"] == []
        assert (await http.delete(f"/v1/sandboxes/{sandbox.id}", headers=other)).status_code == 404
        assert (await http.get("/v1/sandboxes")).status_code == 401
        token = (await second.get_endpoint(44772)).headers
        assert (await http.get(f"/execd/{second.id}/ping", headers=token)).status_code == 200
        for headers in (token, other, {"X-EXECD-ACCESS-TOKEN": f"{sandbox.id}_0"}):
            assert (await http.get(f"/execd/{sandbox.id}/ping", headers=headers)).status_code == 404
        assert (await http.get(f"/execd/{sandbox.id}/ping")).status_code == 401


async def test_client_that_leaves_ends_what_it_ran(served: Served, sandbox: Sandbox) -> None:
    """A command is killed and a cell is interrupted; the server goes on."""
    endpoint = await sandbox.get_endpoint(44772)
    base = f"http://{endpoint.endpoint}"
    async with httpx2.AsyncClient(base_url=base, headers=endpoint.headers, trust_env=False, timeout=60) as http:
        for path, body in (
            ("/command", {"command": "echo $$ > pid; echo begun; sleep 1000"}),
            ("/code", {"code": "import time; print('begun', flush=True); time.sleep(1000)"}),
        ):
            async with http.stream("POST", base + path, json=body) as response:
                async for line in response.aiter_lines():
                    if "begun" in line:
                        break
        found = await http.post(base + "/code", json={"code": "6 * 7"})
        assert '"42"' in found.text

        async def alive() -> int | None:
            return (await sandbox.commands.run("kill -0 $(cat pid)")).exit_code

        await eventually(alive, lambda code: code == 1, within=20)


async def test_half_bodies_leave_nothing(
    served: Served, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """An upload that is cut at any place writes no file, and is no failure of the server."""
    endpoint = await sandbox.get_endpoint(44772)
    path = endpoint.endpoint.partition("/")[2]
    body = (
        b'--b\r\nContent-Disposition: form-data; name="metadata"; filename="metadata"\r\n\r\n{"path": "cut"}\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="cut"\r\n\r\n' + b"x" * 5000 + b"\r\n--b--\r\n"
    )
    lines = [
        f"POST /{path}/files/upload HTTP/1.1",
        "Host: x",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in endpoint.headers.items()),
    ]
    whole = "\r\n".join([*lines, "", ""]).encode() + body
    dice = random.Random(16)
    for _ in range(100):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(whole[: dice.randrange(1, len(whole) - 1)])
        await writer.drain()
        writer.transport.abort()
    assert (await sandbox.commands.run("ls")).text == ""
    garbled = {"Content-Type": "multipart/form-data; boundary=b", **endpoint.headers}
    async with httpx2.AsyncClient(trust_env=False) as http:
        for wrong in (b"", b"--c", b"--b\r\n\r\n", dice.randbytes(500)):
            response = await http.post(f"http://{endpoint.endpoint}/files/upload", content=wrong, headers=garbled)
            assert response.status_code == 400
            assert response.json()["message"]
    assert "Exception" not in caplog.text + capfd.readouterr().err


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20) | st.just("/workspace"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = (
    "code",
    "context",
    "command",
    "argv",
    "cwd",
    "timeout",
    "envs",
    "path",
    "mode",
    "image",
    "uri",
    "id",
    "language",
)
_PATHS = (
    "/code", "/code/context", "/session", "/files/mv", "/files/permissions", "/directories", "/files/replace",
    "/files/upload", "/files/download", "/files/info", "/files/search", "/directories/list", "/command/status/x",
)  # fmt: skip


async def test_any_body_is_answered(served: Served, sandbox: Sandbox) -> None:
    """With an error of the wire, never with that of a program that failed (500)."""
    endpoint = await sandbox.get_endpoint(44772)
    loop = asyncio.get_running_loop()
    bodies = st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=4) | _VALUES

    async def ask(method: str, path: str, body: object, query: str) -> tuple[int, str]:
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
            url = f"http://{endpoint.endpoint}{path}" if path != "/v1/sandboxes" else f"{served.url}{path}"
            response = await http.request(
                method,
                url,
                json=body,
                params={"path": query, "depth": query},
                headers={**endpoint.headers, "X-API-KEY": KEY},
            )
            return response.status_code, response.text

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(
        st.sampled_from(["GET", "POST", "DELETE"]),
        st.sampled_from([*_PATHS, "/v1/sandboxes"]),
        bodies,
        st.text(max_size=9),
    )
    def check(method: str, path: str, body: object, query: str) -> None:
        status, text = asyncio.run_coroutine_threadsafe(ask(method, path, body, query), loop).result(60)
        assert status != 500, (method, path, body, query, text)
        assert status < 400 or status == 405 or '"message"' in text, text

    await asyncio.to_thread(check)
    assert (await sandbox.commands.run("echo alive")).text == "alive"
