"""engine/ and plugins/ hold their one package each: both lie on sys.path of an editable install."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("folder", "package"), [("engine", "vibro"), ("plugins", "vibro_plugins")])
def test_folder_holds_one_package(folder, package):
    held = {path.name for path in (ROOT / folder).iterdir() if path.name != "__pycache__"}
    assert held == {package}, f"another module in {folder}/ would become a global import name"


def test_packages_are_packages():
    for folder in [p for base in ("engine", "plugins") for p in (ROOT / base).rglob("*") if p.is_dir()]:
        if any(folder.glob("*.py")):
            assert (folder / "__init__.py").exists(), f"{folder.relative_to(ROOT)} has no __init__.py"


def test_no_caches_of_compiled_code_are_tracked():
    kinds = {".pyc", ".nbi", ".nbc", ".pkl", ".pt", ".joblib", ".npy", ".npz"}
    import subprocess

    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.split("\0") if "/cases/" not in name]  # small inputs made for a test
    assert [name for name in names if Path(name).suffix in kinds] == []
