"""Results as plain data and as JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pydantic
import pytest

from interpreter_tools import DisplayResult, EngineStats, ExecutionResult, PoolStats


def result_of(**fields: object) -> ExecutionResult:
    """A result of which only some fields matter."""
    values: dict[str, object] = {
        "stdout": "",
        "stderr": "",
        "exit_code": 0,
        "signal": None,
        "outcome": "ok",
        "execution_time": 0.5,
        "cpu_time": 0.1,
        "peak_memory": 1 << 20,
    }
    return ExecutionResult(**{**values, **fields})  # pyright: ignore[reportArgumentType]


def test_every_field_is_in_it() -> None:
    """By its own name."""
    result = result_of(stdout="ü\n", generated_files=("a", "b"))
    plain = result.to_dict()
    assert plain.keys() == set(ExecutionResult.__struct_fields__)
    assert plain["stdout"] == "ü\n"
    assert plain["generated_files"] == ["a", "b"]
    assert plain["signal"] is None
    assert json.loads(result.to_json()) == plain == json.loads(json.dumps(plain))


def test_names_that_are_not_utf8_are_still_json() -> None:
    """Their bytes become visible."""
    names = ("\udcff\udcfe.txt", "ok.txt", "line\nbreak", "\u202egnp.exe")
    result = result_of(generated_files=names, session_generated_files=names)
    decoded = json.loads(result.to_json().decode("utf-8"))
    assert decoded["generated_files"] == ["\\xff\\xfe.txt", "ok.txt", "line\nbreak", "\u202egnp.exe"]
    assert decoded["session_generated_files"] == decoded["generated_files"]


def test_output_that_was_not_utf8_is_json() -> None:
    """It was replaced before."""
    text = b"\xff\0\x1b[0m".decode("utf-8", "replace")
    assert json.loads(result_of(stdout=text).to_json())["stdout"] == text


def test_figures_of_an_engine_are_plain_as_well() -> None:
    """With those of its pools."""
    counts: dict[str, Any] = {"idle": 1, "busy": 2, "starting": 3, "waiting": 4, "hits": 5, "misses": 6, "refills": 7}
    pool = PoolStats(shape="python", discards={"used": 8}, left_out=(), **counts)
    stats = EngineStats(pools=(pool,), discards={"used": 8}, **counts)
    assert stats.to_dict() == {
        "pools": [{**pool.to_dict(), "left_out": []}],
        "discards": {"used": 8},
        "background_failures": 0,
        **counts,
    }
    assert json.loads(stats.to_json())["pools"][0]["shape"] == "python"


def test_result_goes_through_web_frameworks() -> None:
    """As a dictionary, and as a type of pydantic's, which FastAPI uses for answers and their descriptions."""
    result = result_of(stdout="x")
    assert dict(result) == result.to_dict()
    assert result.ok
    adapter = pydantic.TypeAdapter(ExecutionResult)
    assert adapter.dump_python(result, mode="json") == result.to_dict()
    assert adapter.validate_python(result) is result
    assert adapter.json_schema()["title"] == "ExecutionResult"
    with pytest.raises(pydantic.ValidationError):
        adapter.validate_python({"stdout": "x"})


def test_result_comes_back_from_json() -> None:
    """With pictures as bytes: JSON holds them as base64."""
    shown = DisplayResult(data={"image/png": b"\x89PNG\xff", "text/plain": "x", "image/svg+xml": "<svg/>"})
    result = result_of(results=(shown,), files={"a": b"\xff"})
    assert msgspec.json.decode(result.to_json(), type=ExecutionResult) == result
