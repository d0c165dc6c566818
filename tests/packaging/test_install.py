"""Wheel, sdist and editable installs find what ships; a third party's package is found beside them, checked, removed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling is not installed here"),
]


def call(*command: object, **options) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """Folder with the sdist, and the wheel built from it."""
    out = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return out


@pytest.fixture
def fresh(tmp_path):
    """fresh() makes a virtual environment that sees this one's libraries, but not its vibro."""

    def make() -> Path:
        folder = tmp_path / "env"
        venv.create(folder, with_pip=False)
        site = next(folder.glob("lib/python*/site-packages"))
        (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return folder

    return make


def install(env: Path, *what: object) -> None:
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    call(sys.executable, "-m", "pip", "--python", env / "bin" / "python", "install", *options, *what)


def vibro(env: Path, *argv: object) -> list | dict:
    return json.loads(call(env / "bin" / "vibro", *argv, "--json", cwd=env))


def where(env: Path) -> Path:
    return Path(call(env / "bin" / "python", "-c", "import vibro; print(vibro.__file__)", cwd=env).strip())


def check_installation(env: Path) -> None:
    from vibro.registry import read_registry

    expected = {item for entry in read_registry().plugins.values() for item in entry.provides}
    rows = vibro(env, "plugins", "list")
    assert {f"{row['kind']}:{row['name']}" for row in rows if row["origin"] == "bundled"} == expected
    assert {row["state"] for row in rows} == {"on"}
    assert vibro(env, "plugins", "info", "mahalanobis")["path"]
    assert vibro(env, "plugins", "check", "quantile", "--quick")["components"]


def test_wheel_built_from_the_sdist(dist, fresh):
    env = fresh()
    wheel = next(dist.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {"vibro/registry.toml", "vibro/py.typed", "vibro/cli/scaffold/detector.py.tmpl"} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vibro", "vibro_plugins"}
    install(env, wheel)
    assert env in where(env).parents
    check_installation(env)


def test_editable_install(fresh):
    env = fresh()
    install(env, "-e", ROOT)
    assert where(env) == ROOT / "engine" / "vibro" / "__init__.py"
    check_installation(env)


def test_a_third_party_is_found_checked_and_removed(dist, fresh):
    env = fresh()
    install(env, next(dist.glob("*.whl")), ROOT / "examples" / "vibro-envelope")
    rows = [row for row in vibro(env, "plugins", "list") if row["plugin"] == "envelope"]
    assert {(row["kind"], row["name"], row["origin"], row["version"], row["state"]) for row in rows} == {
        ("feature", "envelope", "distribution", "0.1.0", "on"),
        ("detector", "envelope", "distribution", "0.1.0", "on"),
    }
    report = vibro(env, "plugins", "check", "envelope")
    assert {c["status"] for part in report["components"] for c in part["checks"]} == {"passed"}
    parameters = vibro(env, "plugins", "info", "feature:envelope")["parameters"]
    assert parameters[0]["name"] == "bands"
    assert parameters[0]["bounds"] == ">= 4, <= 256"
    off = subprocess.run(
        [env / "bin" / "vibro", "plugins", "list", "--json", "--no-plugins"], capture_output=True, text=True
    )
    assert "envelope" not in {row["plugin"] for row in json.loads(off.stdout)}
    call(sys.executable, "-m", "pip", "--python", env / "bin" / "python", "uninstall", "--yes", "vibro-envelope")
    assert "envelope" not in {row["plugin"] for row in vibro(env, "plugins", "list")}


@pytest.mark.parametrize("kind", ("detector", "reader"))
def test_a_new_plugin_installs_passes_its_tests_and_shows_up(dist, fresh, tmp_path, kind):
    env = fresh()
    install(env, next(dist.glob("*.whl")))
    made = vibro(env, "plugins", "new", "vibro-first-try", "--kind", kind, "-o", tmp_path)
    install(env, "-e", made["path"])
    rows = vibro(env, "plugins", "list", "--kind", kind)
    assert "first_try" in {row["name"] for row in rows}
    call(env / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=made["path"])


def test_the_example_is_short():
    lines = (ROOT / "examples/vibro-envelope/src/vibro_envelope.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60
