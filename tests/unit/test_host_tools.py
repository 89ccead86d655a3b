"""Functions of the host that programs may call."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools import ConfigurationError, ExecutionClosed, HostTool
from interpreter_tools._config.host_tools import check_tools
from interpreter_tools._container.telling import Telling
from interpreter_tools._execution import calls as calls_module
from interpreter_tools._execution.calls import ToolCalls
from interpreter_tools.testing.sandbox import Sandbox, settle

from .conversations import start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from interpreter_tools import ToolRequest


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


class Adder:
    """A function with a state."""

    def __call__(self, a: int) -> int:
        """Add one."""
        return a + 1

    def method(self, a: int) -> int:
        """Add two."""
        return a + 2


@pytest.mark.parametrize("function", [add, Adder().method, HostTool(Adder(), name="adder").function])
def test_functions_methods_and_objects(function: Callable[..., object]) -> None:
    """Each has a signature, by which its arguments are checked."""
    tool = HostTool(function, name="tool")
    bound = tool.bind([1], {})
    assert isinstance(tool.function(*bound.args, **bound.kwargs), int)
    with pytest.raises(TypeError, match="a: Expected `int`, got `str`"):
        tool.bind(["1"], {})
    assert tool.bind(["1"], {}, strict=False).arguments["a"] == 1  # as a command line gives it


def test_what_a_program_is_told() -> None:
    """Names, and which are needed; the description is the docstring's, or another."""
    described = HostTool(add).describe()
    assert described["parameters"] == [
        {"name": "a", "kind": "positional_or_keyword", "required": True},
        {"name": "b", "kind": "positional_or_keyword", "required": False},
    ]
    assert described["description"] == "Add two numbers."
    assert HostTool(add, description="Other.").describe()["description"] == "Other."
    assert repr(HostTool(add)).startswith("<HostTool add(a")


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ("search", "is not a list of functions"),
        ([3], "is not a function"),
        ([lambda: 1], "is not a name that a program can use"),
        ([add, HostTool(add)], "is the name of two tools"),
        ([Adder()], "is not a name that a program can use"),
    ],
)
def test_tools_that_cannot_be_called(tools: object, words: str) -> None:
    """The error says which, before anything runs."""
    with pytest.raises(ConfigurationError, match=words):
        check_tools(tools)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["class", "a b", "_private", "1", ""])
def test_names_that_no_program_can_use(name: str) -> None:
    """They would have to be attributes of a module."""
    with pytest.raises(ConfigurationError, match=r"tools\.name"):
        HostTool(add, name=name)


def test_limits_that_cannot_work() -> None:
    """As everywhere."""
    with pytest.raises(ConfigurationError, match="max_calls"):
        HostTool(add, max_calls=0)
    with pytest.raises(ConfigurationError, match="timeout"):
        HostTool(add, timeout=-1)
    with pytest.raises(ConfigurationError, match="approve"):
        HostTool(add, approve=True)  # pyright: ignore[reportArgumentType]


def running(tools: dict[str, HostTool]) -> tuple[ToolCalls, Sandbox]:
    """Return the calls of a run that a test plays."""
    sandbox = Sandbox()
    start(sandbox.channel.connection)
    calls = ToolCalls(tools)
    calls.begin(Telling(sandbox.channel))
    return calls, sandbox


def piece(**message: object) -> bytes:
    """A message of a program."""
    return b"t\0" + msgspec.json.encode(message)


def answers(sandbox: Sandbox) -> list[dict[str, object]]:
    """What was told, each in one piece."""
    told = [request for request in sandbox.heard() if request[0] == 0x13]
    return [
        msgspec.json.decode(request[2][2:], type=dict[str, object]) for request in told if isinstance(request[2], bytes)
    ]


async def until_told(sandbox: Sandbox) -> list[dict[str, object]]:
    """The next answers."""
    async with asyncio.timeout(10):
        while not (found := answers(sandbox)):
            await settle()
    return found


async def test_calls_of_one_connection_never_answer_another() -> None:
    """Numbers are each connection's own."""

    async def name(value: str) -> str:
        return value

    calls, sandbox = running({"name": HostTool(name)})
    calls.feed(1, piece(call=1, tool="name", args=["one"]))
    calls.feed(2, piece(call=1, tool="name", args=["two"]))
    await settle()
    told = [request[1:] for request in sandbox.heard()]
    assert told == [(1, b't\0{"call":1,"value":"one"}'), (2, b't\0{"call":1,"value":"two"}')]
    await calls.aclose()


async def test_end_of_a_connection_cancels_its_calls() -> None:
    """And no other's."""
    cancelled: list[int] = []

    async def hang(number: int) -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    calls, _ = running({"hang": HostTool(hang)})
    calls.feed(1, piece(call=1, tool="hang", args=[1]))
    calls.feed(2, piece(call=1, tool="hang", args=[2]))
    await settle()
    calls.feed(1, b"")
    await settle()
    assert cancelled == [1]
    await calls.aclose()
    assert cancelled == [1, 2]
    assert [call.outcome for call in calls.calls] == ["cancelled", "cancelled"]
    assert repr(calls) == "<ToolCalls [1 tools, 0 under way]>"


async def test_program_may_cancel_a_call() -> None:
    """By its number."""
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    calls, _ = running({"hang": HostTool(hang)})
    calls.feed(1, piece(call=5, tool="hang"))
    await settle()
    calls.feed(1, piece(cancel=4))
    calls.feed(1, piece(cancel=5))
    await settle()
    assert ended.is_set()
    await calls.aclose()


async def test_value_that_no_program_can_take() -> None:
    """It is the call's error."""

    async def gives() -> object:
        return object()

    calls, sandbox = running({"gives": HostTool(gives)})
    calls.feed(1, piece(call=1, tool="gives"))
    (answer,) = await until_told(sandbox)
    assert "TypeError" in str(answer["error"])
    await calls.aclose()


async def test_exception_whose_words_fail() -> None:
    """The program is told its name."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    async def raises() -> None:
        raise MuteError

    calls, sandbox = running({"raises": HostTool(raises)})
    calls.feed(1, piece(call=1, tool="raises"))
    assert await until_told(sandbox) == [{"call": 1, "error": {"type": "MuteError", "message": ""}}]
    await calls.aclose()


class _OwnError(BaseException):
    """No ``Exception``."""


@pytest.mark.parametrize("way", ["coroutine", "thread", "generator", "approval"])
@pytest.mark.parametrize(
    "error",
    [
        _OwnError("own"),
        SystemExit("3"),
        asyncio.CancelledError("elsewhere"),
        ExecutionClosed("another run"),
        StopAsyncIteration("end"),
        ValueError("half \ud800"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_tool_raises_is_told(way: str, error: BaseException) -> None:
    """The event loop goes on, and no program waits for an answer that never comes."""
    calls, sandbox = running({"raises": _raises(way, error)})
    calls.feed(1, piece(call=1, tool="raises", args=[1] if way == "approval" else []))
    (answer,) = await until_told(sandbox)
    told = msgspec.convert(answer["error"], dict[str, str])
    if way == "generator" and isinstance(error, StopAsyncIteration):
        assert told["type"] == "RuntimeError"  # as Python has it
    else:
        assert told == {"type": type(error).__name__, "message": str(error).replace("\ud800", "\\ud800")}
    await calls.aclose()
    assert [call.outcome for call in calls.calls] == ["error"]


def _raises(way: str, error: BaseException) -> HostTool:
    """A tool that raises, or whose approval does."""

    async def coroutine() -> None:
        raise error

    def thread() -> None:
        raise error

    async def generator() -> AsyncIterator[int]:
        raise error
        yield 1

    async def approve(_: ToolRequest) -> bool:
        raise error

    if way == "approval":
        return HostTool(add, approve=approve)
    return HostTool({"coroutine": coroutine, "thread": thread, "generator": generator}[way])


async def test_exception_that_no_future_takes() -> None:
    """A function in a thread may raise ``StopIteration``, which asyncio would lose."""

    def first() -> int:
        return next(iter(()))

    calls, sandbox = running({"first": HostTool(first)})
    calls.feed(1, piece(call=1, tool="first"))
    assert await until_told(sandbox) == [{"call": 1, "error": {"type": "StopIteration", "message": ""}}]
    await calls.aclose()


@pytest.mark.parametrize("arguments", [b"[NaN]", b'["\xed\xa0\x80"]', b"[" * 5000, b"[1e999]", b"{", b'["\\ud800"]'])
async def test_call_that_is_no_json_is_answered(arguments: bytes) -> None:
    """With its number, so that the program does not wait for ever."""
    calls, sandbox = running({"add": HostTool(add)})
    calls.feed(1, b't\0{"call": 7, "tool": "add", "args": ' + arguments + b"}")
    (answer,) = await until_told(sandbox)
    assert answer["call"] == 7
    assert "ValueError" in str(answer["error"])
    assert [(call.name, call.outcome) for call in calls.calls] == [("add", "error")]
    await calls.aclose()


async def test_mapping_that_stands_for_bytes_is_no_value() -> None:
    """A program would take it for bytes that are not base64."""

    async def gives() -> object:
        return [{"$bytes": "text"}]

    calls, sandbox = running({"gives": HostTool(gives)})
    calls.feed(1, piece(call=1, tool="gives"))
    (answer,) = await until_told(sandbox)
    assert "stands for bytes" in str(answer["error"])
    await calls.aclose()


async def test_approval_cannot_give_an_unknown_argument() -> None:
    """A slip in a name would call the function with what its parameter has by default. A plain function may approve."""
    called: list[int] = []

    def note(a: int = 1) -> None:
        called.append(a)

    tools = {
        "slips": HostTool(note, approve=lambda _: {"b": 2}),  # pyright: ignore[reportArgumentType]
        "changes": HostTool(note, approve=lambda _: {"a": 2}),  # pyright: ignore[reportArgumentType]
    }
    calls, sandbox = running(tools)
    calls.feed(1, piece(call=1, tool="slips"))
    assert "argument that it does not take: 'b'" in str(await until_told(sandbox))
    calls.feed(1, piece(call=2, tool="changes"))
    assert await until_told(sandbox) == [{"call": 2, "value": None}]
    assert called == [2]
    await calls.aclose()


async def test_answer_that_nobody_reads_holds_no_end_up() -> None:
    """The end of a cell waits for its functions, and not for a program that takes its answers later."""
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    calls, _ = running({"endless": HostTool(endless)})
    calls.feed(1, piece(call=1, tool="endless"))
    await settle()
    calls.renew({})
    async with asyncio.timeout(4):  # less than the five seconds for functions that do not end
        await calls.wait()
    assert closed.is_set()
    await calls.aclose()


async def test_two_calls_of_one_number() -> None:
    """The second is refused; the first goes on."""

    async def hang() -> None:
        await asyncio.sleep(1000)

    calls, sandbox = running({"hang": HostTool(hang)})
    calls.feed(1, piece(call=1, tool="hang"))
    calls.feed(1, piece(call=1, tool="hang"))
    (answer,) = await until_told(sandbox)
    assert answer["call"] == 0
    await calls.aclose()
    assert len(calls.calls) == 1


async def test_message_that_never_ends_is_dropped() -> None:
    """Its connection may still make other calls."""

    async def name() -> str:
        return "x"

    calls, sandbox = running({"name": HostTool(name)})
    for _ in range(20):
        calls.feed(1, b"t\1" + bytes(1_000_000))
    calls.feed(1, b"t\0")
    assert "the call has 20000000 bytes" in str(await until_told(sandbox))
    calls.feed(1, piece(call=2, tool="name"))
    assert await until_told(sandbox) == [{"call": 2, "value": "x"}]
    await calls.aclose()


async def test_calls_at_once_are_bounded() -> None:
    """Those beyond the bound are refused, each with an answer, however many come in one moment."""
    go_on = asyncio.Event()

    async def hang() -> str:
        await go_on.wait()
        return "x"

    calls, sandbox = running({"hang": HostTool(hang)})
    for number in range(1, 601):
        calls.feed(1, piece(call=number, tool="hang"))
    refused = await until_told(sandbox)
    assert [answer["call"] for answer in refused] == list(range(257, 601))
    assert all("PermissionError" in str(answer) for answer in refused)
    go_on.set()
    assert len(await until_told(sandbox)) == 256
    calls.feed(1, piece(call=601, tool="hang"))
    assert await until_told(sandbox) == [{"call": 601, "value": "x"}]
    assert Counter(call.outcome for call in calls.calls) == {"ok": 257, "refused": 344}
    await calls.aclose()


async def test_refused_calls_whose_answers_nobody_reads_are_bounded() -> None:
    """What a program says without reading takes no memory of the client without end."""
    calls, _ = running({"hang": HostTool(asyncio.sleep)})
    for number in range(1, 20_001):
        calls.feed(1, piece(call=number, tool="hang", args=[1000]))
    assert len(calls._running) == 256
    assert len(calls._answering) == 4096
    await calls.aclose()


@pytest.mark.parametrize(
    ("bound", "own", "words"),
    [
        ("_MOST_CALLS", None, "tools may be called 3 times"),
        ("_MOST_OF_TOOL", None, "double may be called 3 times"),
        ("_MOST_NOTED", 3, "double may be called 3 times"),
    ],
)
async def test_calls_of_a_run_are_counted(
    monkeypatch: pytest.MonkeyPatch, bound: str, own: int | None, words: str
) -> None:
    """In all, for each tool, and those that the result lists."""
    monkeypatch.setattr(calls_module, bound, 3)

    async def double(value: int) -> int:
        return value * 2

    calls, sandbox = running({"double": HostTool(double, max_calls=own)})
    for number in range(1, 6):
        calls.feed(1, piece(call=number, tool="double", args=[number]))
    told = await until_told(sandbox)
    assert [answer.get("value") for answer in told] == [2, 4, 6, None, None]
    assert words in str(told[3])
    assert words in str(told[4])
    assert len(calls.calls) == (3 if bound == "_MOST_NOTED" else 5)
    calls.renew(calls.tools)  # the next cell has limits of its own
    calls.feed(1, piece(call=6, tool="double", args=[6]))
    assert await until_told(sandbox) == [{"call": 6, "value": 12}]
    await calls.aclose()


def test_signature_is_read_as_it_was_written() -> None:
    """A module's ``from __future__ import annotations`` puts no quotes around the types."""

    def search(query: str, limit: int = 3) -> list[str]:
        return [query] * limit

    assert HostTool(search).describe()["signature"] == "(query: str, limit: int = 3) -> list[str]"
