"""Piston's wire, with clients from PyPI and npm as their makers publish them."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyston import File, PystonClient  # pyright: ignore[reportMissingTypeStubs]
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from interpreter_tools.server.wires.piston._ranges import fits

from . import node_modules
from .serving import KEY, Served, register_compiler, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from websockets.asyncio.client import ClientConnection

    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker


@pytest.fixture
async def served(engine: ExecutionEngine) -> AsyncIterator[Served]:
    """A server of this wire alone."""
    async with serving(engine, wires=["piston"]) as found:
        yield found


async def _execute(served: Served, **fields: object) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}, timeout=60) as client:
        return await client.post("/api/v2/execute", json={"language": "python", "version": "*", **fields})


# -- clients


@pytest.mark.filterwarnings("ignore:verify_ssl is deprecated")  # in the client
async def test_client_from_pypi(served: Served):
    """The client aiopyston finds the languages, and runs a program of two files."""
    client = PystonClient(base_url=f"{served.url}/key/{KEY}/api/v2/")
    try:
        assert [runtime.language for runtime in await client.get_runtimes("py")] == ["python"]
        files = [
            File("import helper, sys; print(helper.x, input(), sys.argv[1:])", "my.py"),
            File("x = 6", "helper.py"),
        ]
        output = await client.execute("python", files, stdin="seven", args=["a b"])  # pyright: ignore[reportUnknownMemberType]
        assert str(output).strip() == "6 seven ['a b']"
    finally:
        await client.close_session()


async def test_client_from_npm(served: Served, tmp_path: Path):
    """The client piston-client finds the languages and runs programs; those that fail as well."""
    await node_modules.install(tmp_path, "piston-client@1.0.2")
    program = """
import { piston } from "piston-client";
const client = piston({ server: process.env.PISTON_URL });
const runtimes = await client.runtimes();
const ran = await client.execute("javascript", "console.log(6 * 7); process.exit(3)");
const unknown = await client.execute({ language: "cobol", version: "1", files: [{ content: "" }] });
console.log(JSON.stringify([runtimes.map((each) => each.language), ran, unknown]));
"""
    languages, ran, unknown = json.loads(
        await node_modules.run(tmp_path, program, PISTON_URL=f"{served.url}/key/{KEY}")
    )
    assert {"python", "javascript", "typescript", "bash"} <= set(languages)
    assert (ran["run"]["stdout"], ran["run"]["code"], ran["run"]["signal"]) == ("42\n", 3, None)
    assert unknown == {"message": "cobol-1 runtime is unknown"}


# -- the format


async def test_answer_of_a_program(served: Served):
    """Both outputs, and both together: in the order in which they came, as two pipes have no common one."""
    code = "import sys\nfor n in range(3): print(n, file=(sys.stdout, sys.stderr)[n % 2], flush=True)"
    found = (await _execute(served, files=[{"content": code}])).json()
    assert found["language"] == "python"
    assert "compile" not in found
    run = found["run"]
    assert (run["stdout"], run["stderr"], sorted(run["output"].split())) == ("0\n2\n", "1\n", ["0", "1", "2"])
    assert (run["code"], run["signal"], run["status"], run["message"]) == (0, None, None, None)
    assert run["memory"] > 0
    assert run["wall_time"] > 0


@pytest.mark.parametrize(
    ("code", "fields", "ended"),
    [
        ("raise SystemExit(5)", {}, (5, None, "RE")),
        ("import os; os.kill(os.getpid(), 11)", {}, (None, "SIGSEGV", "SG")),
        ("import time; time.sleep(30)", {"run_timeout": 400}, (None, "SIGKILL", "TO")),
        ("while True: print('x' * 10000)", {}, (None, "SIGKILL", "OL")),
    ],
)
async def test_ends_of_programs(served: Served, code: str, fields: dict[str, object], ended: tuple[object, ...]):
    """Code, signal and status are Piston's."""
    run = (await _execute(served, files=[{"content": code}], **fields)).json()["run"]
    assert (run["code"], run["signal"], run["status"]) == ended


@pytest.mark.parametrize(
    ("compiler", "ended"),
    [
        ("echo compiling; sleep 60", (None, "SIGKILL", "TO", "Time limit exceeded")),
        ("echo compiling; exit 3", (3, None, "RE", "Exited with error status 3")),
    ],
)
async def test_ends_of_compilers(served: Served, compiler: str, ended: tuple[object, ...]):
    """The client's `compile_timeout` counts; the stage of the run is the compiler's then."""
    register_compiler("cpp", compiler)
    found = (await _execute(served, language="cpp", files=[{"content": ""}], compile_timeout=500)).json()
    stage = found["compile"]
    assert (stage["code"], stage["signal"], stage["status"], stage["message"]) == ended
    assert (stage["stdout"], stage["output"].startswith("compiling\n")) == ("compiling\n", True)
    assert found["run"] == stage


async def test_files_in_several_encodings(served: Served):
    """The first file of text is the program."""
    files = [
        {"name": "data/a.bin", "content": base64.b64encode(b"abc").decode(), "encoding": "base64"},
        {"name": "b.bin", "content": "64", "encoding": "hex"},
        {"name": "main.py", "content": "print(open('data/a.bin').read() + open('b.bin').read())", "encoding": "utf8"},
    ]
    assert (await _execute(served, files=files)).json()["run"]["stdout"] == "abcd\n"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"language": "cobol", "files": [{"content": ""}]}, "cobol-* runtime is unknown"),
        ({"version": "2.7", "files": [{"content": ""}]}, "python-2.7 runtime is unknown"),
        ({"files": []}, "files must include at least one utf8 encoded file"),
        ({"files": [{"content": "", "encoding": "base64"}]}, "files must include at least one utf8 encoded file"),
        ({"files": [{"content": ""}, {"content": "x", "encoding": "hex"}]}, "is not hex"),
        ({"files": [{"content": ""}], "run_timeout": 10**9}, "run_timeout cannot exceed the configured limit of 60000"),
        ({"files": [{"content": ""}], "run_timeout": -1}, "run_timeout must be non-negative"),
        ({"files": [{"name": "../x", "content": ""}]}, "../x"),
        ({"files": [{"content": 1}]}, "files[0].content"),
    ],
)
async def test_requests_that_cannot_work(served: Served, fields: dict[str, object], said: str):
    """They are refused with a message."""
    found = await _execute(served, **fields)
    assert found.status_code == 400
    assert said in found.json()["message"]


@pytest.mark.parametrize(
    "wanted",
    [
        "*",
        " 3.12.7",
        " 3.x",
        " 3",
        " 3.12",
        " 3.12.*",
        " ^3.1.0",
        " ~3.12.0",
        " >=3.0",
        " =3.12.7",
        " ",
        " v3.12.7",
        " >= 3.12.7",
        " <=3.12",
        " <4",
        " >3.11",
        " >=3.8 <4",
        "2.7 || >=3",
        " 3.8 - 3.12",
        " 3.12.0 - 3.12.7",
        " ~3",
        " ^3",
        " X",
    ],
)
def test_ranges_that_a_version_is_in(wanted: str):
    """As npm has them."""
    assert fits("3.12.7", wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        "2",
        " 3.11",
        " ^4.0.0",
        " ~3.11.0",
        " 3.12.8",
        " x3",
        " >3.12",
        " >=3.13",
        " <3.12.7",
        " >99",
        " >3",
        " >3 <3.12",
        " latest",
        " 3.8 - 3.11",
        " 2 || 4",
        " >",
        " ^",
        " -1",
        "3.12.7.1",
        " ٣",
    ],
)
def test_ranges_that_a_version_is_not_in(wanted: str):
    """Nor is it in what is no range."""
    assert not fits("3.12.7", wanted)


def test_ranges_of_versions_before_the_first():
    """A caret holds the first number that is not zero."""
    assert fits("0.2.5", "^0.2.3")
    assert not fits("0.3.0", "^0.2.3")
    assert not fits("0.0.4", "^0.0.3")
    assert fits("0.9.0", "^0")


# -- the websocket


def _connect(served: Served, key: str = KEY) -> connect:
    return connect(f"ws://127.0.0.1:{served.port}/api/v2/connect", additional_headers={"Authorization": key})


def _init(code: str, **fields: object) -> str:
    files = [{"content": code}]
    return json.dumps({"type": "init", "language": "python", "version": "*", "files": files, **fields})


async def _all(socket: ClientConnection) -> tuple[list[dict[str, object]], int]:
    """Return the messages up to the end, and the code that the connection is closed with."""
    found: list[dict[str, object]] = []
    try:
        while True:
            found.append(json.loads(await socket.recv()))
    except ConnectionClosed as closed:
        return found, 0 if closed.rcvd is None else closed.rcvd.code


async def test_conversation(served: Served):
    """Output comes while the program runs, and input goes to it."""
    async with _connect(served) as socket:
        await socket.send(_init("print('name?', flush=True); print('hello', input())"))
        runtime, stage, asked = [json.loads(await socket.recv()) for _ in range(3)]
        assert (runtime["type"], runtime["language"]) == ("runtime", "python")
        assert stage == {"type": "stage", "stage": "run"}
        assert asked == {"type": "data", "stream": "stdout", "data": "name?\n"}
        await socket.send(json.dumps({"type": "data", "stream": "stdin", "data": "you\n"}))
        found, code = await _all(socket)
    assert found[0] == {"type": "data", "stream": "stdout", "data": "hello you\n"}
    assert found[-1] == {"type": "exit", "stage": "run", "code": 0, "signal": None}
    assert code == 4999


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], 4001),
        (['{"type": "data", "stream": "stdin", "data": ""}'], 4003),
        (["not JSON"], 4002),
        (['{"type": "init"}'], 4002),
        (['{"type": "init", "language": "cobol", "version": "*", "files": []}'], 4002),
        ([_init("input()"), _init("")], 4000),
        ([_init("input()"), '{"type": "data", "stream": "stdout", "data": ""}'], 4004),
        ([_init("input()"), '{"type": "signal", "signal": "SIGWINCH"}'], 4005),
        ([_init("input()"), "["], 4002),
        ([_init("input()"), '{"type": "signal", "signal": "SIGTERM"}'], 4999),
    ],
)
async def test_codes_of_closing(served: Served, messages: list[str], code: int):
    """They are Piston's, and the program ends with the connection."""
    async with _connect(served) as socket:
        for message in messages:
            await socket.send(message)
        _, closed = await _all(socket)
    assert closed == code
    await asyncio.wait_for(served.core.admission.idle(), 10)


async def test_client_that_goes_away_ends_its_program(served: Served):
    """So does one that is cut off in the middle of the output."""
    for code in ("import time; time.sleep(60)", "while True: print('x' * 1000)"):
        async with _connect(served) as socket:
            await socket.send(_init(code))
            await socket.recv()
            socket.transport.abort()
        await asyncio.wait_for(served.core.admission.idle(), 10)


async def test_key_is_needed(served: Served):
    """For the websocket as well."""
    with pytest.raises(InvalidStatus):
        async with _connect(served, "it_somebody-elses-key"):
            pass
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/api/v2/runtimes")).status_code == 401
        assert (await client.post("/api/v2/execute", json={})).status_code == 401


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["content", "name"]), inner),
    max_leaves=8,
)
_NAMES = ["type", "language", "version", "files", "stdin", "args", "run_timeout", "run_memory_limit", "data", "stream"]
_BODIES = st.binary(max_size=60) | st.dictionaries(st.sampled_from(_NAMES), _VALUES).map(
    lambda value: json.dumps(value).encode()
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_BODIES)
async def test_any_message_is_answered(served: Served, body: bytes):
    """No body and no message makes the server fail."""
    async with httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}) as client:
        assert (await client.post("/api/v2/execute", content=body)).status_code == 400
    async with _connect(served) as socket:
        await socket.send(body.decode("latin-1"))
        _, code = await _all(socket)
    assert code in {4002, 4003}
