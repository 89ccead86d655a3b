"""SandboxFusion's wire, with ``sandbox-fusion`` from PyPI as its makers publish it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_fusion import (  # pyright: ignore[reportMissingTypeStubs]
    RunCodeRequest,
    RunJupyterRequest,
    run_code,
    run_code_async,
    run_jupyter,
)
from sandbox_fusion.models import CommandRunStatus, RunStatus  # pyright: ignore[reportMissingTypeStubs]

from interpreter_tools.server import Keys

from .serving import KEY, OTHER_KEY, Served, register_compiler, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox_fusion.models import (  # pyright: ignore[reportMissingTypeStubs]
        RunCodeResponse,
        RunJupyterResponse,
    )

    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker


@pytest.fixture
async def served(engine: ExecutionEngine) -> AsyncIterator[Served]:
    """A server of this wire alone."""
    async with serving(engine, wires=["sandbox-fusion"]) as found:
        yield found


def _endpoint(served: Served, key: str = KEY) -> str:
    """Return what ``SANDBOX_FUSION_ENDPOINT`` is: the client has no place for a key but the URL."""
    return f"http://key:{key}@127.0.0.1:{served.port}/"


async def _code(served: Served, **fields: object) -> RunCodeResponse:
    request = RunCodeRequest.parse_obj({"language": "python", **fields})
    return await asyncio.to_thread(run_code, request, endpoint=_endpoint(served), max_attempts=1, client_timeout=60)


async def _jupyter(served: Served, **fields: object) -> RunJupyterResponse:
    request = RunJupyterRequest.parse_obj(fields)
    return await asyncio.to_thread(run_jupyter, request, endpoint=_endpoint(served), max_attempts=1, client_timeout=60)


# -- their own tests of Python (sandbox/tests/runners/test_python.py), and of bash and Node


async def test_print(served: Served):
    """A program that ends well is a success."""
    result = await _code(served, code="print(123)", run_timeout=5)
    assert result.status == RunStatus.Success
    assert result.compile_result is None
    assert result.run_result is not None
    assert (result.run_result.status, result.run_result.return_code) == (CommandRunStatus.Finished, 0)
    assert result.run_result.stdout == "123\n"


async def test_timeout(served: Served):
    """What it printed before is there."""
    code = "import time; print('before', flush=True); time.sleep(20)"
    result = await _code(served, code=code, run_timeout=3)
    assert result.status == RunStatus.Failed
    assert result.run_result is not None
    assert result.run_result.status == CommandRunStatus.TimeLimitExceeded
    assert (result.run_result.return_code, result.run_result.stdout) == (None, "before\n")


@pytest.mark.parametrize(
    ("code", "said", "exit_code"),
    [
        ("assert 1 == 2", "AssertionError", 1),
        ("int a = 1", "SyntaxError: invalid syntax", 1),
        ("import os; os.kill(os.getpid(), 9)", "", -9),
        ("raise SystemExit(7)", "", 7),
    ],
)
async def test_failure(served: Served, code: str, said: str, exit_code: int):
    """A program that fails has finished, with its exit code as ``subprocess`` has it."""
    result = await _code(served, code=code, run_timeout=5)
    assert result.status == RunStatus.Failed
    assert result.run_result is not None
    assert (result.run_result.status, result.run_result.return_code) == (CommandRunStatus.Finished, exit_code)
    assert said in (result.run_result.stderr or "")


async def test_files_and_standard_input(served: Served):
    """Files come and go in base64; those that are not there are left out."""
    result = await _code(
        served,
        code="print(open('dir1/dir2/secret').read(), int(input()))\nopen('a.txt', 'w').write('made')",
        files={"dir1/dir2/secret": base64.b64encode(b"hello").decode(), "none": None, "b[1].txt": "Yg=="},
        stdin="65535",
        fetch_files=["a.txt", "./dir1/dir2/secret", "b[1].txt", "missing", "/mnt/b", "../up", "dir1/a.txt", ""],
    )
    assert result.status == RunStatus.Success
    assert result.run_result is not None
    assert result.run_result.stdout == "hello 65535\n"
    found = {path: base64.b64decode(text) for path, text in result.files.items()}
    assert found == {"a.txt": b"made", "./dir1/dir2/secret": b"hello", "b[1].txt": b"b"}


@pytest.mark.parametrize(
    ("language", "code"),
    [("nodejs", "console.log(6 * 7)"), ("bash", "echo $((6 * 7))"), ("typescript", "console.log(6 * 7 as number)")],
)
async def test_other_languages(served: Served, language: str, code: str):
    """Their names for languages are understood."""
    result = await _code(served, code=code, language=language)
    assert result.run_result is not None
    assert result.run_result.stdout == "42\n"


async def test_compiler_that_takes_too_long(served: Served):
    """It is stopped at the client's `compile_timeout`, and what it said is there."""
    register_compiler("cpp", "echo compiling; sleep 60")
    result = await _code(served, code="", language="cpp", compile_timeout=0.5)
    assert (result.status, result.run_result) == (RunStatus.Failed, None)
    assert result.compile_result is not None
    assert result.compile_result.status == CommandRunStatus.TimeLimitExceeded
    assert (result.compile_result.return_code, result.compile_result.stdout) == (None, "compiling\n")


async def test_memory_limit(served: Served):
    """A program gets no more memory than was asked for."""
    async with httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}, timeout=60) as client:
        body = {"language": "python", "code": "x = bytearray(300 << 20)", "memory_limit_MB": 100}
        found = (await client.post("/run_code", json=body)).json()
    assert found["status"] == "Failed"
    assert found["run_result"]["return_code"] != 0


async def test_language_that_is_not_there(served: Served):
    """The error says which there are."""
    with pytest.raises(Exception, match=r"responded with code 400: .*'verilog' is not on this server.*python, cpp"):
        await _code(served, code="", language="verilog")


async def test_async_client_at_many_places_at_once(served: Served):
    """256 callers at once: none is lost, none times out falsely, each has its own answer."""
    endpoint = _endpoint(served)

    async def call(number: int) -> tuple[str, str | None]:
        request = RunCodeRequest.parse_obj({"language": "python", "code": f"print({number})"})
        result = await run_code_async(request, endpoint=endpoint, max_attempts=1)
        assert result.run_result is not None
        return result.status, result.run_result.stdout

    found = await asyncio.gather(*(call(number) for number in range(256)))
    assert found == [("Success", f"{number}\n") for number in range(256)]


# -- cells


async def test_cells_share_variables_and_go_on_after_an_error(served: Served):
    """Displays and errors are Jupyter's."""
    result = await _jupyter(
        served,
        cells=[
            'a = "hello"',
            "import sys; sys.stderr.write('note\\n'); a",
            "assert False",
            "print(a + open('f').read())",
        ],
        files={"f": base64.b64encode(b"!").decode()},
        fetch_files=["f", "missing"],
    )
    assert result.status == RunStatus.Success
    assert result.driver is not None
    assert result.driver.status == CommandRunStatus.Finished
    assert result.cells[1].display[0]["text/plain"] == "'hello'"
    assert result.cells[1].stderr == "note\n"
    assert result.cells[2].error[0]["ename"] == "AssertionError"
    assert result.cells[2].error[0]["traceback"]
    assert result.cells[2].stderr == ""
    assert result.cells[3].stdout == "hello!\n"
    assert result.files == {"f": base64.b64encode(b"!").decode()}


async def test_cells_out_of_time(served: Served):
    """The driver tells; the cells before are there."""
    result = await _jupyter(served, cells=["print(1)", "import time; time.sleep(60)", "print(2)"], total_timeout=4)
    assert result.status == RunStatus.Failed
    assert result.driver is not None
    assert result.driver.status == CommandRunStatus.TimeLimitExceeded
    assert [cell.stdout for cell in result.cells] == ["1\n", ""]


async def test_cells_whose_interpreter_leaves(served: Served):
    """A cell that ends the interpreter ends the rest."""
    result = await _jupyter(served, cells=["import os", "os._exit(3)", "print(2)"])
    assert result.status == RunStatus.Failed
    assert result.driver is not None
    assert result.driver.status == CommandRunStatus.Error


# -- the server


async def test_key_is_needed(served: Served):
    """Without one nothing runs; another key's owner is another one."""
    async with httpx.AsyncClient(base_url=served.url) as client:
        body = {"language": "python", "code": "print(1)"}
        assert (await client.post("/run_code", json=body)).status_code == 401
        for key in (KEY, OTHER_KEY):
            assert (await client.post(f"/key/{key}/run_code", json=body)).json()["status"] == "Success"
        assert [run.owner for run in served.core.recent] == ["key-1", "key-2"]


async def test_metrics_count_runs_and_refusals(engine: ExecutionEngine):
    """By language, strategy and outcome; the pools are there, too."""
    keys, key = Keys.generate()
    async with (
        serving(engine, wires=["sandbox-fusion"], keys=keys) as served,
        httpx.AsyncClient(base_url=served.url, headers={"x-api-key": key}, timeout=60) as client,
    ):
        for code in ("print(1)", "raise SystemExit(1)"):
            await client.post("/run_code", json={"language": "python", "code": code})
        await client.post("/run_code", json={}, headers={"x-api-key": OTHER_KEY})
        assert (await client.get("/readyz")).text == "ready\n"
        text = (await client.get("/metrics")).text
    for outcome in ("ok", "error"):
        found = f'interpreter_tools_runs_total{{language="python",outcome="{outcome}",strategy="'
        assert [line.endswith(" 1.0") for line in text.splitlines() if line.startswith(found)] == [True]
    assert "interpreter_tools_queue_seconds_count 2.0" in text
    assert 'interpreter_tools_refusals_total{reason="unauthorized"} 1.0' in text
    for name in ('pool_containers{state="idle"}', "starts_total", 'leases_total{from="warm"}', "running 0.0"):
        assert f"interpreter_tools_{name}" in text


async def test_run_of_a_client_that_goes_away_is_cancelled(served: Served, caplog: pytest.LogCaptureFixture):
    """Its turn is free again long before its time is over, and that is no error of the server."""
    async with httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}) as client:
        body = {"language": "python", "code": "import time; time.sleep(60)", "run_timeout": 60}
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/run_code", json=body, timeout=1)
    await asyncio.wait_for(served.core.admission.idle(), 10)
    assert [run.outcome for run in served.core.recent] == ["cancelled"]
    assert [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"] == []


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_BODIES = st.binary(max_size=60) | st.dictionaries(
    st.sampled_from(
        [
            "code",
            "language",
            "run_timeout",
            "memory_limit_MB",
            "files",
            "fetch_files",
            "stdin",
            "cells",
            "total_timeout",
        ]
    ),
    _VALUES,
    max_size=6,
).map(lambda value: json.dumps(value).encode())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(["/run_code", "/run_jupyter"]), body=_BODIES)
async def test_any_body_is_answered(served: Served, path: str, body: bytes):
    """No body makes the server fail."""
    async with httpx.AsyncClient(base_url=served.url, headers={"x-api-key": KEY}, timeout=60) as client:
        found = await client.post(path, content=body)
    assert found.status_code in {200, 400, 422}
    assert isinstance(found.json(), dict)


async def test_runs_of_two_owners_share_no_container(served: Served):
    """Those of one do, where they have sandboxes of their own in it."""
    request = RunCodeRequest.parse_obj({"language": "python", "code": "import os; print(os.stat('/').st_dev)"})

    async def containers(key: str) -> set[str | None]:
        found: set[str | None] = set()
        for _ in range(3):
            answer = await run_code_async(request, endpoint=_endpoint(served, key), max_attempts=1, client_timeout=60)
            assert answer.run_result is not None
            found.add(answer.run_result.stdout)
        return found

    first, second = await containers(KEY), await containers(OTHER_KEY)
    assert first.isdisjoint(second)
