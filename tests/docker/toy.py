"""A language whose packages are made, not fetched: what is tested is who installs, when, and what becomes of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from interpreter_tools import (
    DependencyPlan,
    EngineConfig,
    ExecutionEngine,
    LanguageConfig,
    LanguageRegistry,
    PoolConfig,
)

if TYPE_CHECKING:
    from collections.abc import Generator

_INSTALL = """
target=$1; shift
for package; do
    echo "installing $package"
    case $package in
        slow*) sleep 3 ;;
        endless*) sleep 1000 ;;
        fail*) echo "there is no $package" >&2; exit 7 ;;
        deep*) cd "$target"; for i in $(seq 300); do mkdir d; cd d; done ;;
        loud*) head -c 3000000 /dev/zero | tr '\\0' x ;;
    esac
    printf '#!/bin/sh\\necho "tool %s"\\n' "$package" > "$target/$package"
    chmod 700 "$target/$package"
done
"""

TOY = LanguageConfig(
    language="toy",
    default_image="interpreter-tools/shell:1",
    code_filename="main.toy",
    run_command=("sh", "{file}"),
    dependencies=DependencyPlan(
        kind="words",
        install=(("no-such-installer", "{packages}"), ("sh", "-c", _INSTALL, "sh", "{target}", "{packages}")),
        paths={"PATH": "{target}", "TOYS": "{target}/"},
    ),
)


@contextlib.contextmanager
def registered() -> Generator[None]:
    """The language is known."""
    LanguageRegistry.register(TOY)
    try:
        yield
    finally:
        LanguageRegistry.unregister(TOY.language)


def make_engine(store: str, *, size: int = 4, **options: object) -> ExecutionEngine:
    """An engine with a store of its own, whose installers have no network.

    Args:
        store: the store.
        size: its most containers of one shape; with more than one, a run has a second one started ahead of need.
        options: more of its configuration.
    """
    pool = PoolConfig(min_size=0, max_size=size, wait_timeout=120)
    values: dict[str, object] = {"dependency_network": "none", "pool": pool, **options}
    return ExecutionEngine(EngineConfig(prewarm=(), dependency_store=store, **values))  # pyright: ignore[reportArgumentType]
