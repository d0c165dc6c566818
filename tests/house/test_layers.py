"""Who may import whom: the contracts of pyproject.toml hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUBLIC = {
    "vibro",
    "vibro.api",
    "vibro.context",
    "vibro.portable.covariates",
    "vibro.scoring.regression",
    "vibro.data",
    "vibro.errors",
    "vibro.events",
    "vibro.benchmark.metrics",
}


def test_import_contracts():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def modules(*folders: str) -> dict[str, Path]:
    """Every module of these folders by its dotted name; tests and benchmarks by their path."""
    found = {}
    for folder in folders:
        base = ROOT / folder if folder in ("engine", "plugins") else ROOT
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


KNOWN = modules("engine", "plugins", "tests", "benchmarks")


def imports(path: Path, name: str) -> set[str]:
    """Modules that a module imports, or names from, anywhere in its code, except for type checking alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in (n for n in ast.walk(tree) if id(n) not in skipped):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names if f"{module}.{alias.name}" in KNOWN} or {module}
    return found


def test_no_file_imports_in_a_circle():
    graph = {}
    for name, path in KNOWN.items():
        graph[name] = imports(path, name) & KNOWN.keys() - {name}
    circles, done = [], set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            circles.append(" -> ".join([*path[path.index(name) :], name]))
            return
        if name not in done:
            for below in sorted(graph[name]):
                visit(below, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    assert circles == []


SHARED = ("compiled", "deep", "dsp", "portable", "stats", "timefrequency")


def test_plugins_import_the_public_api_and_shared_helpers_only():
    """A helper of one kind lies in its folder and registers nothing; no plugin imports another."""
    known = modules("plugins")
    plugins = {name for name, path in known.items() if "@hookimpl" in path.read_text(encoding="utf-8")}
    wrong = []
    for name, path in known.items():
        kind = name.split(".")[1] if "." in name else ""
        for found in imports(path, name):
            if found.partition(".")[0] == "vibro":
                public = found in PUBLIC or found.rpartition(".")[0] in PUBLIC
                wrong += [] if public else [f"{name} imports {found}"]
            elif found in known and found != "vibro_plugins":
                parts = found.split(".")
                shared = parts[1] in SHARED
                own = name == found or name.startswith(f"{found}.") or found.startswith(f"{name}.")
                helper = parts[1] == kind and found not in plugins
                sibling = any(name.startswith(f"{p}.") and found.startswith(f"{p}.") for p in plugins)
                inside = any(found.startswith(f"{p}.") for p in plugins) and not (own or sibling)
                if inside or not (shared or own or helper or sibling):
                    wrong.append(f"{name} imports {found}")
    assert wrong == []


def test_the_reading_order_names_all_that_the_engine_imports():
    wanted, todo = set(), ["vibro.core.engine"]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += imports(KNOWN[name], name) & KNOWN.keys()
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("## Reading order") : text.index("Then what stands around it")]
    listed = ["vibro." + path.removesuffix(".py").replace("/", ".") for path in re.findall(r"`([a-z_/]+\.py)`", table)]
    assert set(listed) == wanted and len(listed) == len(set(listed))
    for place, name in enumerate(listed):
        assert imports(KNOWN[name], name) & KNOWN.keys() <= set(listed[:place]), f"{name} stands before what it imports"
