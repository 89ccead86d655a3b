"""The shell with a model, which is scripted."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from .terminal import WITH_MODEL, terminal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from .terminal import Terminal

pytestmark = pytest.mark.docker

BROKEN = {"language": "python", "code": "print('trying')\nprint(1 / 0)"}
RIGHT = {"language": "python", "code": "print('the sum is', 6 * 7)"}


@asynccontextmanager
async def talk(directory: Path, *steps: object) -> AsyncGenerator[Terminal]:
    """A shell whose model does these things, one after another."""
    script = directory / "script.json"
    script.write_text(json.dumps(steps), "utf-8")
    async with terminal(str(script), state=directory, command=WITH_MODEL) as screen:
        yield screen


def asked(directory: Path) -> list[dict[str, object]]:
    """What the model was asked, each time."""
    return [json.loads(line) for line in (directory / "script.json.asked").read_text("utf-8").splitlines()]


async def test_plain_language_becomes_a_program(tmp_path: Path):
    """Which is shown, and what it writes as it comes; then the model's words."""
    async with talk(tmp_path, RIGHT, "That is *all*.") as screen:
        shown = await screen.do("add six sevens please", label="ai")
        assert shown == ["── python", "print('the sum is', 6 * 7)", "the sum is 42", "That is all."]
        assert await screen.do("print('mine')", label="ai") == ["mine"]
        assert await screen.do("!echo mine, too", label="ai") == ["mine, too"]
    assert "add six sevens please" in str(asked(tmp_path)[0]["messages"])


async def test_error_is_mended(tmp_path: Path):
    """By the model that has made it, which sees what came out; each try is shown."""
    async with talk(tmp_path, BROKEN, RIGHT, "done") as screen:
        shown = await screen.do("add six sevens please", label="ai")
        assert "ZeroDivisionError: division by zero" in shown
        assert "try 1 of 3 failed: mending it" in shown
        assert shown[-2:] == ["the sum is 42", "done"]
    assert "ZeroDivisionError" in str(asked(tmp_path)[1]["messages"])


async def test_tries_are_bounded(tmp_path: Path):
    """After the last one the model has no tool, and has to say what is wrong."""
    wrong = {"language": "cobol", "code": "DISPLAY 42."}
    async with talk(tmp_path, BROKEN, wrong, BROKEN, "It divides by zero.") as screen:
        shown = await screen.do("divide please", label="ai")
        assert [line for line in shown if line.startswith("try ")] == [
            "try 1 of 3 failed: mending it",
            "try 2 of 3 failed: mending it",
            "try 3 of 3 failed: no more",
        ]
        assert shown[-1] == "It divides by zero."
        assert await screen.do("print('still here')", label="ai") == ["still here"]
    assert [request["tools"] for request in asked(tmp_path)] == [["execute_code"]] * 3 + [[]]


async def test_model_that_goes_on_without_a_try_is_stopped(tmp_path: Path):
    """Nothing is run any more."""
    async with talk(tmp_path, *[BROKEN] * 10) as screen:
        shown = await screen.do("divide please", label="ai")
        assert shown.count("trying") == 3
        assert shown[-1] == "the model: stopped: it went on although no try was left"


async def test_own_program_that_fails_is_mended(tmp_path: Path):
    """Unless it only found nothing, or `/mend off` was said."""
    async with talk(tmp_path, "It was a zero.", RIGHT, "done", "good") as screen:
        assert await screen.do("!grep nothing /dev/null", label="ai") == ["exit code 1"]
        shown = await screen.do("print(1 / 0)", label="ai")
        assert "looking into it, at most 3 tries; Ctrl-C stops that" in shown
        assert shown[-1] == "It was a zero."
        assert await screen.do("/mend off", label="ai") == ["mending is off"]
        assert (await screen.do("print(2 / 0)", label="ai"))[-1] == "exit code 1"
        assert (await screen.do("and now do it right", label="ai"))[-2:] == ["the sum is 42", "done"]
    first, second = (str(request["messages"]) for request in asked(tmp_path)[:2])
    assert "print(1 / 0)" in first
    assert "ZeroDivisionError" in first
    assert "It was a zero." in second
    assert "print(2 / 0)" in second


async def test_ctrl_c_ends_what_the_model_does(tmp_path: Path):
    """Its program, or its thinking; the conversation goes on."""
    endless = {"language": "python", "code": "import time; print('on', flush=True); time.sleep(600)"}
    async with talk(tmp_path, endless, "wait", "well?") as screen:
        await screen.prompt("ai")
        screen.type("sleep well please\r")
        await screen.see("\non")
        screen.type("\x03")
        await screen.see("\ncancelled")
        await screen.prompt("ai")
        screen.type("think about that please\r")
        await screen.see("thinking")
        screen.type("\x03")
        await screen.see("\ncancelled", times=2)
        assert (await screen.do("are you there, model?", label="ai"))[-1] == "well?"
    assert str(asked(tmp_path)[-1]["messages"]).count("cancelled") == 2


async def test_model_can_be_left_and_reset(tmp_path: Path):
    """`/model none` makes it a plain prompt; `/reset` forgets what was said."""
    async with talk(tmp_path, "hello", "who?", "never") as screen:
        await screen.do("my name is Ada, remember", label="ai")
        await screen.do("/reset", label="ai")
        await screen.do("what is my name?", label="ai")
        assert await screen.do("/model none", label="ai", after="python") == ["no model"]
        assert (await screen.do("do it please"))[-1] == "plain language needs a model: /model NAME"
    assert "Ada" not in str(asked(tmp_path)[1]["messages"])
