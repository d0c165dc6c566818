"""Who may import whom: the contracts of pyproject.toml hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUBLIC = {
    "vibro",
    "vibro.api",
    "vibro.context",
    "vibro.covariates",
    "vibro.data",
    "vibro.errors",
    "vibro.events",
    "vibro.benchmark.metrics",
}


def test_import_contracts():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def test_plugins_use_the_public_api_and_their_helpers_only():
    wrong = []
    for path in (ROOT / "plugins").rglob("*.py"):
        for name in imports(path):
            private = name.split(".")[0] == "vibro" and name not in PUBLIC
            sibling = name.startswith("vibro_plugins.") and not name.split(".")[1].startswith("_")
            own = name.startswith(
                "vibro_plugins." + ".".join(path.relative_to(ROOT / "plugins/vibro_plugins").parts[:-1])
            )
            if private or (sibling and not (own and path.parent.parent.name in ("detectors", "features"))):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []
