"""What ``doctor`` says of the engine's host, and of the way to the packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interpreter_tools import EngineConfig
from interpreter_tools.setup.doctor import _check_packages, check_kernel_memory, check_tables

if TYPE_CHECKING:
    from interpreter_tools import ExecutionEngine


def test_kernel_that_charges_or_counts_is_well() -> None:
    """Version 2 of control groups, and a kernel that asks before a call."""
    assert check_kernel_memory("2", counts=True).ok


@pytest.mark.parametrize(
    ("version", "counts", "words"), [("1", True, "TCP"), ("2", False, "locks"), ("1", False, "TCP")]
)
def test_kernel_memory_that_is_not_bounded_is_told(version: str, counts: bool, words: str) -> None:
    """With what to do about it; programs run all the same."""
    check = check_kernel_memory(version, counts=counts)
    assert (check.ok, check.needed) == (False, False)
    assert words in check.detail
    assert check.remedy


def test_tables_that_one_container_could_empty_are_told() -> None:
    """Few open files on a small host, or few terminals."""
    files, terminals = check_tables(2_000_000, 1500, 256)
    assert (files.ok, terminals.ok) == (True, False)
    files, terminals = check_tables(100_000, 4096, 256)
    assert (files.ok, terminals.ok) == (False, True)
    assert "fs.file-max" in files.remedy


@pytest.mark.docker
@pytest.mark.parametrize(
    "config", [EngineConfig(dependency_network="none"), EngineConfig(index_url="http://[::1]:9/simple")]
)
async def test_packages_that_cannot_be_installed_are_told(engine: ExecutionEngine, config: EngineConfig) -> None:
    """It was ok, whatever the network and the index."""
    check = await _check_packages(engine, config)
    assert (check.ok, check.needed) == (False, False)
    assert "index" in check.remedy
