# The client's keyword arguments and file types are not typed as far as strict checks go.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportCallIssue=false, reportArgumentType=false
"""E2B's wire, with ``e2b`` and ``e2b-code-interpreter`` from PyPI as their makers publish them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import shlex
import sys
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx
import pytest
from e2b import (
    AuthenticationException,
    CommandExitException,
    FileNotFoundException,
    FilesystemEventType,
    FileType,
    InvalidArgumentException,
    NotEnoughSpaceException,
    NotFoundException,
    PtySize,
    RateLimitException,
    SandboxException,
    SandboxNotFoundException,
    SandboxQuery,
    SandboxState,
    TimeoutException,
)
from e2b_code_interpreter import AsyncSandbox, Sandbox
from e2b_code_interpreter.charts import (
    BarChart,
    BoxAndWhiskerChart,
    LineChart,
    PieChart,
    ScatterChart,
    SuperChart,
)

from interpreter_tools.server import Keys, Quota, ServerConfig
from tests.watch import eventually

from .serving import KEY, OTHER_KEY, Served, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from e2b import FilesystemEvent

    from interpreter_tools import ExecutionEngine

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
async def served(engine: ExecutionEngine) -> AsyncIterator[Served]:
    """A server of this wire alone."""
    async with serving(engine, wires=["e2b"]) as found:
        yield found


def _options(served: Served, key: str = KEY) -> dict[str, str]:
    """Return what the environment variables of the client say otherwise."""
    return {"api_key": key, "api_url": served.url, "sandbox_url": served.url}


@pytest.fixture
async def sandbox(served: Served) -> AsyncIterator[AsyncSandbox]:
    """A sandbox of the asynchronous client."""
    sandbox = await AsyncSandbox.create(**_options(served))
    yield sandbox
    await sandbox.kill()


# -- code


async def test_cells_keep_their_state(sandbox: AsyncSandbox) -> None:
    """Variables stay; output, value, count and exception come as the client knows them."""
    execution = await sandbox.run_code("import sys\nx = 41\nprint('out')\nprint('err', file=sys.stderr)")
    assert (execution.logs.stdout, execution.logs.stderr, execution.results) == (["out\n"], ["err\n"], [])
    execution = await sandbox.run_code("x + 1")
    assert (execution.text, execution.execution_count, execution.error) == ("42", 2, None)
    assert execution.results[0].is_main_result
    assert (await sandbox.run_code("'quoted'")).text == "quoted"
    execution = await sandbox.run_code("1 / 0")
    assert execution.error is not None
    assert (execution.error.name, execution.error.value) == ("ZeroDivisionError", "division by zero")
    assert "1 / 0" in execution.error.traceback
    assert execution.logs.stderr == []
    error = (await sandbox.run_code("raise SystemExit(3)")).error
    assert error is not None
    assert (error.name, error.value) == ("SystemExit", "3")


async def test_output_comes_as_it_is_written(sandbox: AsyncSandbox) -> None:
    """To the callbacks, each piece with its time."""
    seen: list[tuple[float, str]] = []
    code = "import time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(0.3)"
    await sandbox.run_code(code, on_stdout=lambda message: seen.append((time.monotonic(), message.line)))
    assert "".join(text for _, text in seen) == "0\n1\n2\n"
    assert seen[-1][0] - seen[0][0] > 0.3


async def test_results_have_their_formats(sandbox: AsyncSandbox) -> None:
    """HTML, JSON and other types of a display; the value of the cell is told apart from it."""
    code = (
        "from IPython.display import display, HTML, JSON\n"
        "display(HTML('<b>1</b>'))\n"
        "display({'application/x-mine': 'm', 'text/markdown': '*1*'}, raw=True)\n"
        "display(JSON({'a': [1]}))\n"
        "7"
    )
    results = (await sandbox.run_code(code)).results
    assert [result.is_main_result for result in results] == [False, False, False, True]
    assert (results[0].html, results[1].markdown, results[2].json) == ("<b>1</b>", "*1*", {"a": [1]})
    assert results[1].extra == {"application/x-mine": "m"}


async def test_picture_that_is_saved_is_a_result(sandbox: AsyncSandbox) -> None:
    """Of Pillow, under a name; one that is written to memory is not."""
    await sandbox.run_code("%pip install matplotlib")  # and Pillow, shared with other tests
    code = "import io\nfrom PIL import Image\nimage = Image.new('RGB', (2, 2))\nimage.save({}, 'PNG')"
    (shown,) = (await sandbox.run_code(code.format("'saved'"))).results
    assert (await sandbox.files.read("saved", format="bytes"))[:4] == b"\x89PNG"
    assert shown.png
    assert (await sandbox.run_code(code.format("io.BytesIO()"))).results == []


async def test_charts(sandbox: AsyncSandbox) -> None:
    """The client makes objects of its own of what matplotlib has drawn."""
    await sandbox.run_code("%pip install matplotlib")  # the installed packages are shared with other tests
    code = """
import matplotlib.pyplot as plt
figure, ((a, b, c), (d, e, f)) = plt.subplots(2, 3)
data = [[1, 2, 3, 4, 30]]
a.plot([1, 2], [3, 4], label="up")
a.set(title="Line", xlabel="time (s)", ylabel="height [m]")
b.scatter([1, 2], [3, 4])
c.bar(["x", "y"], [5, 6])
d.pie([1, 3], labels=["p", "q"])
e.boxplot(data)
f.hist([1, 1, 2])
plt.show()
figure, axes = plt.subplots(1, 3)
axes[0].boxplot(data, notch=True, showmeans=True)
axes[1].boxplot(data, notch=True, patch_artist=True, orientation="horizontal")
axes[2].boxplot(data, showmeans=True, meanline=True, showfliers=False)
plt.show()
"""
    execution = await sandbox.run_code(code)
    assert (execution.error, len(execution.results)) == (None, 2)
    assert execution.results[0].png is not None
    chart = execution.results[0].chart
    assert isinstance(chart, SuperChart)
    line, scatter, bar, pie, box, histogram = chart.elements
    assert isinstance(line, LineChart)
    assert (line.title, line.x_label, line.x_unit, line.y_unit) == ("Line", "time (s)", "s", "m")
    assert (line.elements[0].label, line.elements[0].points) == ("up", [(1, 3), (2, 4)])
    assert isinstance(scatter, ScatterChart)
    assert isinstance(bar, BarChart)
    assert [(each.label, each.value) for each in bar.elements] == [("x", 5), ("y", 6)]
    assert isinstance(pie, PieChart)
    assert [each.label for each in pie.elements] == ["p", "q"]
    assert isinstance(box, BoxAndWhiskerChart)
    assert isinstance(histogram, BarChart)
    first = histogram.elements[0]
    assert (first.label, first.group, first.value) == ("1 - 1.1", "Group 0", 2)
    others = execution.results[1].chart
    assert isinstance(others, SuperChart)
    boxes = [chart.elements[0] for chart in (box, *others.elements) if isinstance(chart, BoxAndWhiskerChart)]
    assert [(each.min, each.first_quartile, each.median, each.third_quartile, each.max) for each in boxes] == [
        (1, 2, 3, 4, 4)
    ] * 4
    assert [each.outliers for each in boxes] == [[30], [30], [30], []]


async def test_languages(sandbox: AsyncSandbox) -> None:
    """Bash runs beside Python over the same files; a language without contexts is refused by name."""
    await sandbox.run_code("open('f', 'w').write('from python')")
    execution = await sandbox.run_code("cat f; false", language="bash")
    assert execution.logs.stdout == ["from python"]
    assert execution.error is not None
    assert execution.error.value == "1"
    home = await sandbox.run_code("test -d /home/user || cd /tmp; pwd", language="bash")
    assert home.logs.stdout in (["/home/user\n"], ["/tmp\n"])  # an image without that link has the workspace only
    directory = "/home/user" if home.logs.stdout == ["/home/user\n"] else "/workspace"
    assert (await sandbox.run_code("import os; os.getcwd()")).text == directory
    if directory == "/home/user":  # the same image has Node.js
        assert (await sandbox.run_code("process.cwd()", language="javascript")).text == directory
    await sandbox.files.make_dir("inner")
    for path in ("inner", "~/inner", "/home/user/inner"):
        assert (await sandbox.commands.run("/bin/pwd", cwd=path)).stdout == f"{directory}/inner\n"
    for language in ("r", "java", "cobol"):
        with pytest.raises(SandboxException, match=language):
            await sandbox.run_code("1", language=language)


async def test_variables_of_one_cell(served: Served) -> None:
    """They override the sandbox's, take any text, and are gone afterwards."""
    options = _options(served)
    sandbox = await AsyncSandbox.create(envs={"A": "sandbox"}, **options)
    odd = "b'\"$(x)\\n\u00e9\U0001f600"
    code = "import os; (os.environ['A'], os.environ.get('B'))"
    assert (await sandbox.run_code(code, envs={"A": "cell", "B": odd})).text == repr(("cell", odd))
    execution = await sandbox.run_code(code)
    assert (execution.text, execution.execution_count) == ("('sandbox', None)", 2)
    execution = await sandbox.run_code('printf %s "$A$B"', language="bash", envs={"B": odd})
    assert "".join(execution.logs.stdout) == f"sandbox{odd}"
    own = await sandbox.commands.run('echo "$E2B_SANDBOX $E2B_SANDBOX_ID $E2B_TEMPLATE_ID"')
    assert own.stdout == f"true {sandbox.sandbox_id} {(await sandbox.get_info()).template_id}\n"
    with pytest.raises(SandboxException, match="env_vars"):
        await sandbox.run_code("1", envs={"a b": "c"})
    await sandbox.kill()


async def test_contexts(sandbox: AsyncSandbox) -> None:
    """Each has variables and a directory of its own; they are listed, restarted and removed."""
    await sandbox.files.make_dir("inner")
    context = await sandbox.create_code_context(cwd="/home/user/inner")
    assert (context.language, context.cwd) == ("python", "/home/user/inner")
    await sandbox.run_code("x = 1")
    assert (await sandbox.run_code("import os; os.path.basename(os.getcwd()), 'x' in dir()", context=context)).text == (
        "('inner', False)"
    )
    assert context.id in [each.id for each in await sandbox.list_code_contexts()]
    await sandbox.run_code("y = 1", context=context)
    await sandbox.restart_code_context(context)
    assert (await sandbox.run_code("'y' in dir()", context=context)).text == "False"
    await sandbox.remove_code_context(context)
    assert context.id not in [each.id for each in await sandbox.list_code_contexts()]
    with pytest.raises(NotFoundException):
        await sandbox.run_code("1", context=context)
    with pytest.raises(NotFoundException):
        await sandbox.remove_code_context("nope")
    with pytest.raises(SandboxException, match="cannot be entered"):
        await sandbox.create_code_context(cwd="/nowhere")


async def test_client_that_leaves_interrupts_its_cell(sandbox: AsyncSandbox) -> None:
    """The variables stay, and the next cell runs at once."""
    await sandbox.run_code("x = 1")
    with pytest.raises(TimeoutException):
        await sandbox.run_code("import time\nx = 2\ntime.sleep(300)", timeout=3)
    began = time.monotonic()
    assert (await sandbox.run_code("x", timeout=20)).text == "2"
    assert time.monotonic() - began < 10


async def test_process_that_dies_is_told(sandbox: AsyncSandbox) -> None:
    """The next cell has a new one."""
    execution = await sandbox.run_code("import os; os.kill(os.getpid(), 9)")
    assert execution.error is not None
    assert execution.error.name == "ContextRestarting"
    assert (await sandbox.run_code("1 + 1")).text == "2"


# -- control plane


async def test_life_of_a_sandbox(served: Served) -> None:
    """It is found, listed by its metadata, extended, paused, resumed and ended."""
    options = _options(served)
    sandbox = await AsyncSandbox.create(metadata={"a b": "c&d", "n": "1"}, timeout=100, **options)
    info = await sandbox.get_info()
    assert (info.metadata, info.state, info.template_id) == (
        {"a b": "c&d", "n": "1"},
        SandboxState.RUNNING,
        "code-interpreter-v1",
    )
    assert 90 < (info.end_at - info.started_at).total_seconds() < 110
    await sandbox.set_timeout(500)
    assert (await sandbox.get_info()).end_at > info.end_at
    for wanted, found in (({"a b": "c&d"}, 1), ({"a b": "c"}, 0)):
        query = SandboxQuery(metadata=wanted)
        assert len(await AsyncSandbox.list(query=query, **options).next_items()) == found
    assert await sandbox.is_running()
    await sandbox.run_code("x = 1")
    await sandbox.pause()
    assert not await sandbox.is_running()
    query = SandboxQuery(state=[SandboxState.PAUSED])
    paused = await AsyncSandbox.list(query=query, **options).next_items()
    assert [each.sandbox_id for each in paused] == [sandbox.sandbox_id]
    again = await AsyncSandbox.connect(sandbox.sandbox_id, **options)
    assert (await again.run_code("x")).text == "1"
    assert await sandbox.kill()
    assert not await sandbox.kill()
    assert not await again.is_running()
    with pytest.raises(SandboxNotFoundException):
        await sandbox.get_info()
    with pytest.raises(SandboxNotFoundException):
        await AsyncSandbox.connect(sandbox.sandbox_id, **options)
    with pytest.raises(TimeoutException):
        await again.run_code("x")
    with pytest.raises(SandboxException):
        await again.commands.run("true")


async def test_javascript_keeps_its_variables_in_the_image_of_node(served: Served) -> None:
    """A template names the image, which needs no Python for cells."""
    sandbox = await AsyncSandbox.create("node", **_options(served))
    assert (await sandbox.run_code("const x = await Promise.resolve(20)", language="javascript")).error is None
    assert (await sandbox.run_code("x + 1", language="javascript")).text == "21"
    failed = await sandbox.run_code("nothing.there", language="javascript")
    assert failed.error is not None
    assert failed.error.name == "ReferenceError"
    typed = await sandbox.create_code_context(language="typescript")
    assert (await sandbox.run_code("const y: number = 2; y * 2", context=typed)).text == "4"
    await sandbox.kill()


async def test_sandbox_that_has_ended_is_held_by_nothing(served: Served) -> None:
    """Its memory and its user are free again, while the server remembers what was asked for twice."""
    sandbox = await AsyncSandbox.create(**_options(served))
    assert (await sandbox.run_code("1")).text == "1"
    kept = weakref.ref(served.core.sandboxes.all()[0])
    await sandbox.kill()

    async def is_gone() -> bool:
        gc.collect()
        return kept() is None

    await eventually(is_gone, lambda gone: gone, within=20)


_WAIT_FOR_GAP = """
import time
last = time.monotonic()
print("begun", flush=True)  # it may be paused from here on
while (gap := time.monotonic() - last) < 1:
    last += gap
"""


async def test_paused_sandbox_stands_still(served: Served) -> None:
    """Its threads and commands take no time while it is paused, and go on in the same processes."""
    options = _options(served)
    sandbox = await AsyncSandbox.create(timeout=60, **options)
    await sandbox.run_code(f"import threading\nthread = threading.Thread(target=exec, args=({_WAIT_FOR_GAP!r}, {{}}))")
    await sandbox.run_code("import os; before = os.getpid(); thread.start()")
    begun = asyncio.Event()
    program = f"exec python3 -c {shlex.quote(_WAIT_FOR_GAP)}"
    command = await sandbox.commands.run(program, background=True, on_stdout=lambda _: begun.set(), timeout=0)
    await begun.wait()
    await sandbox.pause()
    await asyncio.sleep(1.5)
    await sandbox.connect(timeout=60)
    assert (await command.wait()).exit_code == 0  # it has seen a second that it was not there
    assert (await sandbox.run_code("thread.join(); os.getpid() == before")).text == "True"
    await sandbox.pause()
    assert await sandbox.kill()  # with all that stands still in it
    assert len(served.core.sandboxes) == 0


async def test_list_comes_in_pages(served: Served) -> None:
    """Newest first, each sandbox once."""
    options = _options(served)
    core = served.core
    owner = core.keys.owner(KEY)
    made = [(await core.sandboxes.create(owner, template=f"t{number}")).id for number in range(5)]
    pages = AsyncSandbox.list(limit=2, **options)
    found: list[list[str]] = []
    while pages.has_next:
        found.append([each.sandbox_id for each in await pages.next_items()])
    assert found == [made[4:2:-1], made[2:0:-1], made[:1]]


async def test_sandbox_ends_at_its_time(served: Served) -> None:
    """And one that was asked to pauses instead; use wakes it up, where that was asked for."""
    options = _options(served)
    lifecycle = {"on_timeout": "pause", "auto_resume": True}
    pausing = await AsyncSandbox.create(timeout=1, lifecycle=lifecycle, **options)
    ending = await AsyncSandbox.create(timeout=1, **options)
    deadline = time.monotonic() + 20
    while await ending.is_running() and time.monotonic() < deadline:  # noqa: ASYNC110 - over the wire
        await asyncio.sleep(0.1)
    assert not await ending.is_running()
    assert (await pausing.get_info()).state in {SandboxState.PAUSED, SandboxState.RUNNING}
    assert (await pausing.run_code("1")).text == "1"
    await pausing.kill()


async def test_what_there_is_not_is_said(served: Served) -> None:
    """Templates that must be built, snapshots, volumes, networks of single hosts: each with what to do."""
    options = _options(served)
    with pytest.raises(SandboxException, match="not found"):
        await AsyncSandbox.create("no/such-image", **options)
    network = {"deny_out": ["1.1.1.1"]}
    with pytest.raises(SandboxException, match="allow_internet_access"):
        await AsyncSandbox.create(network=network, **options)
    with pytest.raises(SandboxException, match="Timeout"):
        await AsyncSandbox.create(timeout=10**6, **options)
    async with httpx.AsyncClient(base_url=served.url, headers={"X-API-KEY": KEY}) as client:
        for method, path in (
            ("POST", "/v3/templates"),
            ("POST", "/sandboxes/x/snapshots"),
            ("POST", "/volumes"),
            ("GET", "/secrets/x"),
        ):
            answer = await client.request(method, path, json={})
            assert answer.status_code == 400
            assert answer.json()["code"] == 400
        assert "docker build" in (await client.post("/v3/templates", json={})).json()["message"]
        assert (await client.get("/snapshots")).json() == []
        assert "base" in [name for each in (await client.get("/templates")).json() for name in each["names"]]
        assert (await client.get("/templates/aliases/base")).status_code == 200
        assert (await client.get("/templates/aliases/no-such")).status_code == 404
        answer = await client.post("/v2/sandboxes", content=b"{")
        assert (answer.status_code, answer.json()["code"]) == (400, 400)


async def test_request_that_is_sent_again_makes_one_sandbox(served: Served) -> None:
    """With the same idempotency key; a client of the first version of the API makes one, too."""
    async with httpx.AsyncClient(base_url=served.url, headers={"X-API-KEY": KEY}, timeout=60) as client:
        headers = {"Idempotency-Key": "abc"}
        answers = [
            await client.post(path, json={"templateID": "base"}, headers=headers)
            for path in ("/v2/sandboxes", "/sandboxes", "/sandboxes")
        ]
        assert [answer.status_code for answer in answers] == [201] * 3
        assert len({answer.json()["sandboxID"] for answer in answers}) == 1
        sandbox_id = answers[0].json()["sandboxID"]
        assert (await client.post(f"/sandboxes/{sandbox_id}/refreshes", json={"duration": 60})).status_code == 204
        assert (await client.post(f"/sandboxes/{sandbox_id}/resume", json={})).status_code == 409
        assert (await client.get(f"/sandboxes/{sandbox_id}/logs")).json() == {"logs": [], "logEntries": []}
        assert (await client.delete(f"/sandboxes/{sandbox_id}")).status_code == 204


async def test_metrics(sandbox: AsyncSandbox) -> None:
    """Memory, processor and disk of now."""
    (measured,) = await sandbox.get_metrics()
    assert 0 < measured.mem_used < measured.mem_total
    assert measured.disk_total > 0
    assert measured.cpu_count >= 1


async def test_keys_do_not_see_each_other(served: Served) -> None:
    """Neither a list, nor a sandbox by its id, nor what is in it; a wrong key and a wrong token are refused."""
    mine = await AsyncSandbox.create(**_options(served))
    others = _options(served, OTHER_KEY)
    assert await AsyncSandbox.list(**others).next_items() == []
    assert not await AsyncSandbox.kill(mine.sandbox_id, **others)
    with pytest.raises(SandboxNotFoundException):
        await AsyncSandbox.connect(mine.sandbox_id, **others)
    with pytest.raises(AuthenticationException):
        await AsyncSandbox.create(**_options(served, "it_wrong-wrong-wrong"))
    async with httpx.AsyncClient(base_url=served.url) as client:
        for headers in (
            {},
            {"X-API-KEY": OTHER_KEY},
            {"X-Access-Token": f"{mine.sandbox_id}_{'0' * 32}"},
            {"E2B-Traffic-Access-Token": "x"},
        ):
            named = {"E2b-Sandbox-Id": mine.sandbox_id, **headers}
            for method, path in (
                ("GET", "/files?path=/etc/passwd"),
                ("POST", "/execute"),
                ("GET", "/contexts"),
                ("POST", "/process.Process/List"),
                ("GET", "/health"),
            ):
                answer = await client.request(
                    method, path, headers=named, json=None if method == "GET" else {"code": "1"}
                )
                assert answer.status_code == 401, (path, headers)
        path = f"/files?path=/etc/passwd&signature=v1_{'A' * 43}"
        assert (await client.get(path)).status_code == 401
    assert await mine.kill()


async def test_quota_is_told_as_rate_limit(engine: ExecutionEngine) -> None:
    """A key with as many sandboxes or commands as it may have, or without processor time, is told to come later."""
    keys = Keys.of(KEY, quota=Quota(sandboxes=1, runs=1, cpu_seconds=0.8))
    async with (
        serving(engine, wires=["e2b"], keys=keys, config=ServerConfig()) as served,
        httpx.AsyncClient(base_url=served.url, headers={"X-API-KEY": KEY}, timeout=60) as client,
    ):
        sandbox = await AsyncSandbox.create(**_options(served))
        answer = await client.post("/v2/sandboxes", json={"templateID": "base"})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        first = await sandbox.commands.run("sleep 300", background=True)
        with pytest.raises(RateLimitException, match="1 commands that run"):
            await sandbox.commands.run("true")
        assert (await sandbox.run_code("6 * 7")).text == "42"
        await first.kill()
        with pytest.raises(CommandExitException):
            await first.wait()
        await sandbox.commands.run('python3 -c "import time\nwhile time.process_time() < 1: pass"')
        with pytest.raises(RateLimitException, match="cpu_seconds"):
            await sandbox.commands.run("true")
        assert served.core.keys.owners[0].commands == 0


async def test_all_that_wait_hear_that_their_sandbox_was_killed(
    sandbox: AsyncSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """In the client's own words; the server does not take it for an error of its own."""
    handle = await sandbox.commands.run("echo on; sleep 300", background=True)
    printed = asyncio.Event()
    code = "import time\nprint(1, flush=True)\ntime.sleep(300)"
    cell = asyncio.create_task(sandbox.run_code(code, on_stdout=lambda _: printed.set()))
    await asyncio.wait_for(printed.wait(), 30)
    await sandbox.kill()
    for waiting in (handle.wait(), cell):
        with pytest.raises(TimeoutException, match=r"(?i)the sandbox was killed"):
            await asyncio.wait_for(waiting, 30)
    assert "Exception in ASGI application" not in caplog.text


async def test_host_names_lead_to_sandboxes(served: Served) -> None:
    """As clients with a domain of their own use them; the port tells code from files."""
    sandbox = await AsyncSandbox.create(**_options(served))
    token = served.core.sandboxes.by_id(sandbox.sandbox_id).access_token
    async with httpx.AsyncClient(base_url=served.url, headers={"X-Access-Token": token}, timeout=60) as client:
        code, envd = ({"Host": f"{port}-{sandbox.sandbox_id}.box.example"} for port in (49999, 49983))
        assert (await client.get("/health", headers=code)).text == "OK"
        assert (await client.get("/health", headers=envd)).status_code == 204
        lines = (await client.post("/execute", json={"code": "print(1)"}, headers=code)).text.splitlines()
        assert '"end_of_execution"' in lines[-1]
        gone = {"Host": f"49983-{'x' * 20}.box.example"}
        answer = await client.get("/health", headers=gone)
        assert (answer.status_code, "was not found" in answer.json()["message"]) == (502, True)
    await sandbox.kill()


# -- processes


async def test_commands(sandbox: AsyncSandbox) -> None:
    """Output, exit code, variables, directory; an exit code other than 0 is an exception of the client."""
    result = await sandbox.commands.run("echo $A; pwd; echo err >&2", envs={"A": "x y"}, cwd="/tmp")
    assert (result.stdout, result.stderr, result.exit_code) == ("x y\n/tmp\n", "err\n", 0)
    with pytest.raises(CommandExitException) as failed:
        await sandbox.commands.run("echo out; exit 7")
    assert (failed.value.exit_code, failed.value.stdout) == (7, "out\n")
    with pytest.raises(InvalidArgumentException):
        await sandbox.commands.run("true", cwd="/nowhere")
    with pytest.raises(SandboxException, match="root"):
        await sandbox.commands.run("true", user="root")
    with pytest.raises(TimeoutException):
        await sandbox.commands.run("sleep 300", timeout=1)
    assert (await sandbox.commands.run("pgrep sleep || echo none")).stdout == "none\n"


async def test_background_commands(sandbox: AsyncSandbox) -> None:
    """They are listed, talked with, joined by others, and killed, while cells run."""
    handle = await sandbox.commands.run("cat; echo over", background=True, stdin=True)
    assert handle.pid in [each.pid for each in await sandbox.commands.list()]
    assert (await sandbox.run_code("1")).text == "1"
    joined = await sandbox.commands.connect(handle.pid)
    await sandbox.commands.send_stdin(handle.pid, "hello\n")
    await sandbox.commands.close_stdin(handle.pid)
    assert (await handle.wait()).stdout == "hello\nover\n"
    assert "over" in (await joined.wait()).stdout
    handle = await sandbox.commands.run("sleep 300", background=True)
    assert await sandbox.commands.kill(handle.pid)
    with pytest.raises(CommandExitException):
        await handle.wait()
    assert not await sandbox.commands.kill(handle.pid)
    handle = await sandbox.commands.run("sleep 0.5; echo late > late", background=True)
    await handle.disconnect()
    while not await sandbox.files.exists("late"):  # noqa: ASYNC110 - over the wire
        await asyncio.sleep(0.1)


async def test_process_has_32_clients_at_once(sandbox: AsyncSandbox) -> None:
    """All that a loud process writes is sent to each of them: with a thousand, other keys waited half a minute."""
    handle = await sandbox.commands.run("sleep 300", background=True)
    joined = [await sandbox.commands.connect(handle.pid) for _ in range(31)]
    with pytest.raises(SandboxException, match="32 clients, as many as it may"):
        await sandbox.commands.connect(handle.pid)
    await joined.pop().disconnect()

    async def joins() -> bool:
        try:
            joined.append(await sandbox.commands.connect(handle.pid))
        except SandboxException:
            return False
        return True

    await eventually(joins, bool, within=20)
    assert await sandbox.commands.kill(handle.pid)
    for each in joined:
        with pytest.raises(CommandExitException):
            await each.wait()


async def test_terminal(sandbox: AsyncSandbox) -> None:
    """With a size that changes."""
    seen = bytearray()
    handle = await sandbox.pty.create(PtySize(rows=24, cols=80), on_data=seen.extend)
    await sandbox.pty.send_stdin(handle.pid, b"stty size\n")

    async def until(wanted: bytes) -> None:
        async with asyncio.timeout(20):
            while wanted not in seen:  # noqa: ASYNC110 - a callback of the client
                await asyncio.sleep(0.05)

    await until(b"24 80")
    await sandbox.pty.resize(handle.pid, PtySize(rows=30, cols=100))
    await sandbox.pty.send_stdin(handle.pid, b"stty size; exit\n")
    await until(b"30 100")
    await handle.wait()
    handle = await sandbox.pty.create(PtySize(rows=24, cols=80), on_data=seen.extend)
    assert await sandbox.pty.kill(handle.pid)


# -- files


async def test_files(sandbox: AsyncSandbox) -> None:
    """Written as text, bytes, streams and forms, with and without compression; read in each form."""
    data = bytes(range(256)) * 1000
    written = await sandbox.files.write("a/b.txt", "text \u00e9")
    assert (written.name, written.path, written.type) == ("b.txt", "/home/user/a/b.txt", FileType.FILE)
    assert await sandbox.files.read("/home/user/a/b.txt") == "text \u00e9"
    assert (await sandbox.run_code("open('/workspace/a/b.txt').read()")).text == "text \u00e9"
    for number, options in enumerate(({}, {"gzip": True}, {"use_octet_stream": True})):
        await sandbox.files.write(f"f{number}", data, **options)
        assert await sandbox.files.read(f"f{number}", format="bytes", gzip=bool(number)) == data
    await sandbox.files.write("stream", io.BytesIO(data))
    stream = await sandbox.files.read("stream", format="stream")
    assert b"".join([piece async for piece in stream]) == data
    many = [{"path": f"many/{number}", "data": str(number)} for number in range(3)]
    assert [each.name for each in await sandbox.files.write_files(many)] == ["0", "1", "2"]
    with pytest.raises(FileNotFoundException):
        await sandbox.files.read("nope")
    with pytest.raises(InvalidArgumentException):
        await sandbox.files.read("many")
    with pytest.raises(NotEnoughSpaceException):
        await sandbox.files.write("/tmp/large", io.BytesIO(bytes(300 << 20)))
    assert not await sandbox.files.exists("/tmp/large")
    assert (await sandbox.files.read("/etc/hostname")).strip()


async def test_large_file(sandbox: AsyncSandbox) -> None:
    """Its bytes arrive as they were sent."""
    data = b"0123456789abcdef" * (1 << 20)
    await sandbox.files.write("large", io.BytesIO(data))
    await sandbox.files.write("form", data)
    for name in ("large", "form"):
        assert (await sandbox.files.get_info(name)).size == len(data)
        assert await sandbox.files.read(name, format="bytes") == data


async def test_directories(sandbox: AsyncSandbox) -> None:
    """Made, listed as deep as wanted, renamed, removed."""
    assert await sandbox.files.make_dir("d/e")
    assert not await sandbox.files.make_dir("d/e")
    await sandbox.files.write("d/e/f", "1")
    await sandbox.commands.run("ln -s e d/link; chmod 755 d/e/f")
    assert [each.path for each in await sandbox.files.list("d")] == ["/home/user/d/e", "/home/user/d/link"]
    found = {each.name: each for each in await sandbox.files.list("d", depth=2)}
    assert set(found) == {"e", "f", "link"}
    assert (found["e"].type, found["f"].permissions, found["f"].mode) == (FileType.DIR, "-rwxr-xr-x", 0o755)
    assert (found["link"].type, found["link"].symlink_target) == (FileType.DIR, "/home/user/d/e")
    moved = await sandbox.files.rename("d/e/f", "g/h")
    assert (moved.path, await sandbox.files.exists("d/e/f")) == ("/home/user/g/h", False)
    await sandbox.files.remove("d")
    await sandbox.files.remove("d")
    assert not await sandbox.files.exists("d")
    for failing in (sandbox.files.list("d"), sandbox.files.get_info("d"), sandbox.files.rename("d", "e")):
        with pytest.raises(FileNotFoundException):
            await failing
    for failing in (sandbox.files.list("g/h"), sandbox.files.make_dir("g/h")):
        with pytest.raises(InvalidArgumentException, match="/home/user/g/h"):
            await failing
    name = "x" * 256
    for failing in (
        sandbox.files.list(name),
        sandbox.files.make_dir(name),
        sandbox.files.rename("/dev/zero", "/tmp/zero"),  # another file system, where it would be copied without end
        sandbox.files.rename("/tmp", "/tmp/x"),
        sandbox.files.rename("/home/user", "/home/user/g/x"),
    ):
        with pytest.raises(InvalidArgumentException):
            await failing


_LINKS: dict[str, tuple[str, FileType, str]] = {  # to, the type, the target
    "file": ("d/f", FileType.FILE, "/home/user/d/f"),
    "directory": ("/workspace/d", FileType.DIR, "/home/user/d"),
    "chain": ("file", FileType.FILE, "/home/user/d/f"),
    "broken": ("nowhere", FileType.SYMLINK, "/home/user/nowhere"),
    "loop": ("loop", FileType.SYMLINK, "/home/user/loop"),
    "device": ("/dev/null", FileType.SYMLINK, "/dev/null"),
    "outside": ("../../../../../../../etc/hostname", FileType.FILE, "/etc/hostname"),
    "host": (f"{ROOT}/pyproject.toml", FileType.SYMLINK, f"{ROOT}/pyproject.toml"),
    "closed": ("/proc/1/root/etc", FileType.SYMLINK, "/proc/1/root/etc"),
    "odd": ("$(printf %b x\\\\0377)", FileType.SYMLINK, "/home/user/x\ufffd"),
}


async def test_links_have_the_type_of_what_they_lead_to(sandbox: AsyncSandbox) -> None:
    """Of the sandbox, never of the host; one that leads nowhere is told as a link. Stat, list and events agree."""
    events: list[FilesystemEvent] = []
    await sandbox.files.write("d/f", "1")
    handle = await sandbox.files.watch_dir(".", events.append, include_entry=True)
    await sandbox.commands.run("; ".join(f"ln -s {to} {name}" for name, (to, _, _) in _LINKS.items()))
    expected = {name: (kind, target) for name, (_, kind, target) in _LINKS.items()}
    listed = {each.name: (each.type, each.symlink_target) for each in await sandbox.files.list(".", depth=3)}
    assert listed == {**expected, "d": (FileType.DIR, None), "f": (FileType.FILE, None)}
    for name in _LINKS:
        found = await sandbox.files.get_info(name)
        assert (found.type, found.symlink_target, found.permissions) == (*expected[name], "lrwxrwxrwx")

    def seen() -> dict[str, object]:
        entries = [each.entry for each in events if each.type == FilesystemEventType.CREATE and each.entry]
        return {entry.name: (entry.type, entry.symlink_target) for entry in entries}

    async with asyncio.timeout(20):
        while seen() != expected:  # noqa: ASYNC110 - a callback of the client
            await asyncio.sleep(0.05)
    await handle.stop()


async def test_metadata_of_files(sandbox: AsyncSandbox) -> None:
    """It is told with the file, follows a rename, and is replaced by the next upload."""
    written = await sandbox.files.write("f", "1", metadata={"kind": "a b"})
    assert written.metadata == {"kind": "a b"}
    await sandbox.files.rename("f", "g")
    assert (await sandbox.files.get_info("g")).metadata == {"kind": "a b"}
    await sandbox.files.write("g", "2")
    assert (await sandbox.files.get_info("g")).metadata is None


async def test_signed_urls(sandbox: AsyncSandbox, served: Served) -> None:
    """Read and write one path without a key, until their time is over."""
    await sandbox.files.write("f", "signed")
    async with httpx.AsyncClient(timeout=60) as client:
        url = sandbox.download_url("f", use_signature_expiration=60)
        answer = await client.get(url)
        assert (answer.status_code, answer.text) == (200, "signed")
        assert (await client.get(url.replace("path=f", "path=g"))).status_code == 401
        assert (await client.post(url, files={"file": b"x"})).status_code == 401
        over = sandbox.download_url("f", use_signature_expiration=-60)
        assert (await client.get(over)).status_code == 401
        answer = await client.post(sandbox.upload_url("up"), files={"file": ("name", b"up")})
        assert answer.status_code == 200
        named = {"Host": f"49983-{sandbox.sandbox_id}.box.example"}
        assert (await client.get(sandbox.download_url("f"), headers=named)).text == "signed"
    assert await sandbox.files.read("up") == "up"


async def test_observation(sandbox: AsyncSandbox) -> None:
    """Events of a directory reach the client, with those of directories below it where that is asked for."""
    events: list[FilesystemEvent] = []
    await sandbox.files.make_dir("w")
    handle = await sandbox.files.watch_dir("w", events.append, recursive=True, include_entry=True)
    await sandbox.files.write("w/x/f", "1")

    async def until(name: str, kind: FilesystemEventType) -> FilesystemEvent:
        async with asyncio.timeout(20):
            while True:
                for event in events:
                    if (event.name, event.type) == (name, kind):
                        return event
                await asyncio.sleep(0.05)

    created = await until("x/f", FilesystemEventType.CREATE)
    assert created.entry is not None
    assert created.entry.path == "/home/user/w/x/f"
    await sandbox.files.remove("w/x/f")
    await until("x/f", FilesystemEventType.REMOVE)
    await handle.stop()
    with pytest.raises(FileNotFoundException):
        await sandbox.files.watch_dir("nowhere", events.append)


# -- the synchronous client


async def test_synchronous_client(served: Served) -> None:
    """It does the same, from a thread; its watcher asks for events."""

    def use() -> None:
        sandbox = Sandbox.create(**_options(served))
        try:
            assert sandbox.run_code("1 + 1").text == "2"
            context = sandbox.create_code_context(language="bash")
            assert sandbox.run_code("echo 1", context=context).logs.stdout == ["1\n"]
            assert sandbox.commands.run("echo 2").stdout == "2\n"
            sandbox.files.make_dir("w")
            watcher = sandbox.files.watch_dir("w")
            sandbox.files.write("w/f", "3")
            assert sandbox.files.read("w/f") == "3"
            deadline = time.monotonic() + 20
            names: list[str] = []
            while "f" not in names and time.monotonic() < deadline:
                names += [event.name for event in watcher.get_new_events()]
            assert "f" in names
            watcher.stop()
            with pytest.raises(SandboxException):
                watcher.get_new_events()
            handle = sandbox.commands.run("cat", background=True, stdin=True)
            sandbox.commands.send_stdin(handle.pid, "4")
            sandbox.commands.close_stdin(handle.pid)
            assert handle.wait().stdout == "4"
        finally:
            assert sandbox.kill()

    await asyncio.to_thread(use)


async def test_unchanged_program_runs(served: Served) -> None:
    """The example: by environment variables alone."""
    variables = {"E2B_API_URL": served.url, "E2B_SANDBOX_URL": served.url, "E2B_API_KEY": KEY}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "examples/e2b/program.py"),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert said.decode().splitlines() == [
        "sold: 12",
        "error: KeyError 'price'",
        "lines: 4",
        "file: /home/user/sales.csv 31",
    ]


# -- clients that misbehave


async def test_cut_connections_leave_nothing(sandbox: AsyncSandbox, served: Served) -> None:
    """Half bodies, wrong frames, answers that nobody reads: the server lives, and the sandbox goes on."""
    token = served.core.sandboxes.by_id(sandbox.sandbox_id).access_token
    head = f"Host: x\r\nX-Access-Token: {token}\r\n"
    long = "for i in range(10**9): print(i)"
    body = f'{{"code": "{long}"}}'
    frame = b'{"process": {"cmd": "yes"}}'
    started = b"\0" + len(frame).to_bytes(4, "big") + frame
    start = f"POST /process.Process/Start HTTP/1.1\r\n{head}Content-Type: application/connect+json\r\n"
    form = "Content-Type: multipart/form-data; boundary=b\r\n"
    requests = [
        f"POST /files?path=half HTTP/1.1\r\n{head}Content-Length: 1000\r\n\r\nx",
        f"POST /files HTTP/1.1\r\n{head}{form}Content-Length: 99\r\n\r\n--b\r\n",
        f"POST /execute HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}",
        f"POST /execute HTTP/1.1\r\n{head}Content-Length: 1000\r\n\r\n{{",
        f"{start}Content-Length: {len(started)}\r\n\r\n{started.decode('latin-1')}",
        f"{start}Content-Length: 5\r\n\r\n\xff\xff\xff\xff\xff",
        f"{start.replace('Start', 'StreamInput')}Transfer-Encoding: chunked\r\n\r\n3\r\n\0\0\0\r\n",
        f"GET /files?path=/home/user/large HTTP/1.1\r\n{head}\r\n",
    ]
    await sandbox.files.write("large", io.BytesIO(bytes(8 << 20)))
    for request in requests * 3:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(request.encode("latin-1"))
        await writer.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.2)
        writer.transport.abort()
    assert (await sandbox.run_code("1 + 1", timeout=30)).text == "2"
    assert not await sandbox.files.exists("half")
    async with asyncio.timeout(20):
        while served.core.admission.running:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0.05)
    await sandbox.commands.run("pkill yes || true")


async def test_calls_that_cannot_be_read_are_refused(sandbox: AsyncSandbox, served: Served) -> None:
    """In the words of the wire, whatever they hold."""
    token = served.core.sandboxes.by_id(sandbox.sandbox_id).access_token
    async with httpx.AsyncClient(base_url=served.url, headers={"X-Access-Token": token}, timeout=60) as client:
        for body in (b"", b"{", b"[]", b'{"path": 1}', b'{"path": "\\u0000"}', b"\xff", b"[" * 100_000):
            answer = await client.post("/filesystem.Filesystem/Stat", content=body)
            if body == b"":
                assert answer.status_code == 200
                continue
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
        for body in (b"", b"\0\0\0\0\1{", b"\1\0\0\0\0", b"\0\xff\xff\xff\xff", b"\0\0\0\0\2{}" * 2):
            answer = await client.post("/process.Process/Start", content=body)
            assert answer.status_code == 200
            flags, said = answer.content[0], answer.content[5:]
            assert flags == 2
            assert b'"error"' in said
        for body in (b"", b"{}", b'{"code": 1}', b'{"code": "1", "env_vars": []}'):
            assert (await client.post("/execute", content=body)).status_code == 400
        form = {"content-type": "multipart/form-data; boundary=b"}
        assert (await client.post("/files", content=b"--b--\r\n", headers=form)).status_code == 400
        zipped = {"content-encoding": "gzip", "content-type": "application/octet-stream"}
        for body in (b"not gzip", b"\x1f\x8b\x08\x00"):
            assert (await client.post("/files?path=z", content=body, headers=zipped)).status_code == 400
        kept = cast("dict[str, object]", (await client.post("/process.Process/List", json={})).json())
        assert kept == {"processes": []}
    assert not await sandbox.files.exists("z")
