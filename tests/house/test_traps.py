"""docs/traps.md lists all known traps, and names no test that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "traps.md").read_text(encoding="utf-8")
TRAPS = dict(re.findall(r"^\| (T\d+) \| .* \| (.*) \|$", TEXT, re.MULTILINE))


def named(guard: str) -> list[tuple[Path, str]]:
    """File and function of each test that a guard names."""
    found = re.findall(r"`(\S+?)::(\w+)`", guard)
    files = {"networks": "plugins/detectors/test_networks.py"}
    return [(ROOT / "tests" / files.get(file, file), name) for file, name in found]


def test_every_trap_has_a_test_or_says_what_will_bring_it():
    assert list(TRAPS) == [f"T{n}" for n in range(1, 57)]
    assert [
        trap for trap, guard in TRAPS.items() if not named(guard) and not guard.startswith("none yet: with `")
    ] == []


def test_every_test_that_is_named_exists():
    for path, name in (test for guard in TRAPS.values() for test in named(guard)):
        assert path.is_file(), f"docs/traps.md names {path.name}, which is not there"
        functions = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "name")}
        assert name in functions, f"docs/traps.md names {path.name}::{name}, which is not there"


def test_every_test_of_a_trap_is_named():
    listed = {name for guard in TRAPS.values() for _, name in named(guard)}
    written = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        written |= set(re.findall(r"^def (test_traps?_\d\w*)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert written - listed == set()
