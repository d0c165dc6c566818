"""Compiled functions where nothing can be kept: they are compiled in every process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import vibro_plugins


def test_a_read_only_installation_without_a_home(tmp_path):
    package = tmp_path / "vibro_plugins"
    package.mkdir()
    source = Path(vibro_plugins.__file__).parent
    for name in ("__init__.py", "compiled.py"):
        shutil.copy(source / name, package / name)
    (package / "mine.py").write_text(
        "from vibro_plugins.compiled import compiled\n@compiled(nogil=True)\ndef twice(x):\n    return 2 * x\n"
    )
    (package / "__pycache__").write_text("a file where numba would keep its code")
    home = tmp_path / "home"
    home.write_text("a file where the user's cache would lie")
    paths = {name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    said = subprocess.run(
        [sys.executable, "-B", "-c", "from vibro_plugins.mine import twice; print(twice(21))"],
        env={"PYTHONPATH": str(tmp_path), **paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.stdout == "42\n", said.stderr
