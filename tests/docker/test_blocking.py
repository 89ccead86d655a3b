"""The blocking face: threads, Flask, Celery, interruption, forks, and the end of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import EngineClosed, EngineConfig, UnknownLanguage, blocking

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def engine() -> Iterator[blocking.Engine]:
    """One engine for all."""
    with blocking.Engine(EngineConfig(prewarm=())) as engine:
        yield engine


def test_context_keeps_variables(engine: blocking.Engine) -> None:
    """From cell to cell, also of an id; its output comes while a cell runs."""
    with engine.context("python") as context:
        context.run("x = 41")
        assert context.run("x + 1").text == "42"
        assert engine.run_cell(context.id, "x + 2").text == "43"
        with engine.get_context(context.id).stream("print(x, flush=True); input()") as cell:
            assert next(iter(cell)).text == "41\n"
            cell.send_stdin(b"line\n")
            assert cell.result().text == "'line'"
            assert cell.ports == {}
        context.restart()
        assert context.run("x").outcome == "error"
        assert context.info().language == "python"


def test_threads_share_one_engine(engine: blocking.Engine) -> None:
    """Each waits for its own result, at the same time."""

    def double(number: int) -> str:
        return engine.run("python", f"print({number} * 2)").stdout

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(double, range(8)))
    assert results == [f"{n * 2}\n" for n in range(8)]
    assert sum(thread.name == "interpreter-tools" for thread in threading.enumerate()) == 1


def test_stream_is_an_iterator(engine: blocking.Engine) -> None:
    """Output as it comes, with input on the way."""
    with engine.stream("python", "print(1, flush=True); print(input())") as run:
        pieces: list[str] = []
        for chunk in run:
            pieces.append(chunk.text)
            if len(pieces) == 1:
                run.send_stdin(b"2\n")
                run.close_stdin()
        assert "".join(pieces) == "1\n2\n"
        assert run.result().ok if hasattr(run.result(), "ok") else run.result().outcome == "ok"
    with engine.stream("python", "import time; time.sleep(60)") as run:
        run.kill()
        assert run.result().outcome == "killed"


def test_session_keeps_its_files(engine: blocking.Engine) -> None:
    """Methods of the session, and those of the engine by its id."""
    with engine.session(strategy="per_session") as session:  # type: ignore[arg-type]
        session.write_file("in.txt", b"hello")
        assert session.run("python", "print(open('in.txt').read())").stdout == "hello\n"
        assert "in.txt" in engine.list_workspace_files(session.id)
        assert session.read_file("in.txt") == engine.read_file(session.id, "in.txt") == b"hello"
        assert session.info().is_active


def test_errors_are_those_of_the_engine(engine: blocking.Engine) -> None:
    """With their types."""
    with pytest.raises(UnknownLanguage):
        engine.run("cobol", "")
    closed = blocking.Engine()
    closed.close()
    closed.close()
    with pytest.raises(EngineClosed):
        closed.run("python", "")


def test_interrupt_ends_the_program(engine: blocking.Engine) -> None:
    """Ctrl-C while a thread waits: the call is cancelled, the engine goes on."""
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.run("python", "import time; time.sleep(60)")
    assert time.monotonic() - started < 40
    assert engine.run("python", "print(1)").stdout == "1\n"


def test_flask_view_runs_code(engine: blocking.Engine) -> None:
    """A view is a plain function."""
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)

    @app.post("/run")
    def run() -> dict[str, object]:
        return engine.run("python", flask.request.get_data()).to_dict()

    answer = app.test_client().post("/run", data=b"print(6 * 7)")
    assert answer.get_json()["stdout"] == "42\n"


def test_celery_task_runs_code(engine: blocking.Engine) -> None:
    """In eager mode; an error of ours arrives as itself."""
    celery = pytest.importorskip("celery")
    app = celery.Celery("test")
    app.conf.update(task_always_eager=True, task_eager_propagates=True)

    @app.task
    def run(language: str, code: str) -> str:
        return engine.run(language, code).stdout

    assert run.delay("python", "print(1)").get() == "1\n"
    with pytest.raises(UnknownLanguage):
        run.delay("cobol", "1").get()


_FORGOTTEN = """
import os
from interpreter_tools import EngineConfig, blocking
engine = blocking.Engine(EngineConfig(prewarm=()))
print(engine.run("python", "print(1)").stdout, end="", flush=True)
child = os.fork()
if child == 0:
    print(engine.run("python", "print(2)").stdout, end="", flush=True)
else:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_forked_process_and_forgotten_engine_end() -> None:
    """A worker that was forked starts an engine of its own; what nobody closed does not hold the end up."""
    done = subprocess.run([sys.executable, "-c", _FORGOTTEN], capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n2\n"), done.stderr
