"""Fresh virtual environments that see this one's libraries, and the built distribution to install in them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OFFLINE = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check")


class Environment:
    """A virtual environment without a network: this one's libraries, but not its vibro."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        venv.create(folder, with_pip=False)
        site = next(folder.glob("lib/python*/site-packages"))
        (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def call(self, *command: object, **options) -> str:
        """Output of a command that must succeed."""
        own = {"XDG_CONFIG_HOME": str(self.folder / "config"), "VIBRO_CACHE_DIR": str(self.folder / "cache")}
        env = {**os.environ, **own}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env, **options)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def pip(self, verb: str, *arguments: object, **options) -> str:
        """pip for this environment."""
        rest = OFFLINE if verb == "install" else ("--quiet",)
        return self.call(
            sys.executable, "-m", "pip", "--python", self.bin / "python", verb, *rest, *arguments, **options
        )


@pytest.fixture(scope="session")
def dist(tmp_path_factory):
    """Folder with the sdist, and the wheel built from it."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed here")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture
def fresh(tmp_path, dist) -> Environment:
    """An environment without vibro."""
    return Environment(tmp_path / "env")


@pytest.fixture
def installed(fresh, dist) -> Environment:
    """An environment with the wheel."""
    fresh.pip("install", next(dist.glob("*.whl")))
    return fresh
