"""Writes the package of a new plugin from the templates in ``scaffold``."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from vibro.errors import ConfigError
from vibro.io.files import disk_errors, write_text

SCAFFOLD = Path(__file__).parent / "scaffold"


def component_name(distribution: str) -> str:
    """``vibro-foo-bar`` -> ``foo_bar``; ConfigError for what cannot be the name of a package."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", distribution):
        raise ConfigError(f"{distribution!r} is no name for a package", hint="write it like vibro-envelope")
    name = distribution.removeprefix("vibro-").replace("-", "_")
    if not name.isidentifier() or name == "vibro":
        raise ConfigError(f"{distribution!r} gives no name for a component", hint="write it like vibro-envelope")
    return name


def write_package(distribution: str, kind: str, parent: Path) -> tuple[Path, list[Path]]:
    """The folder made in ``parent`` and its files, relative to it; ConfigError if the folder is there already."""
    component = component_name(distribution)
    module = distribution.replace("-", "_")
    folder = parent / distribution
    if folder.exists():
        raise ConfigError(f"{folder} exists already", hint="choose another name or folder (-o)")
    words = {
        "distribution": distribution,
        "module": module,
        "component": component,
        "class_name": "".join(part.capitalize() for part in component.split("_")),
        "kind": kind,
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{module}.py": f"{kind}.py",
        f"tests/test_{component}.py": "test.py",
    }
    with disk_errors(folder):
        for name, template in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (SCAFFOLD / f"{template}.tmpl").read_text(encoding="utf-8")
            write_text(path, Template(text).substitute(words))
    return folder, [Path(name) for name in files]
