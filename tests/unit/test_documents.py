"""What documents claim to be shown is shown."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_tests_that_the_security_page_names_exist() -> None:
    """Each promise is held by a test of that name."""
    named = set(re.findall(r"`(test_\w+)`", (_ROOT / "SECURITY.md").read_text("utf-8")))
    tests = "\n".join(file.read_text("utf-8") for file in (_ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in tests} == set()
