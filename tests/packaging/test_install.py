"""Wheel, sdist and editable installs find what ships; a third party's package is found beside them, checked, removed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def vibro(env, *argv: object) -> list | dict:
    return json.loads(env.call(env.bin / "vibro", *argv, "--json", cwd=env.folder))


def where(env) -> Path:
    return Path(env.call(env.bin / "python", "-c", "import vibro; print(vibro.__file__)", cwd=env.folder).strip())


def check_installation(env) -> None:
    from vibro.host.registry import read_registry

    expected = {item for entry in read_registry().plugins.values() if entry.enabled for item in entry.provides}
    rows = vibro(env, "plugins", "list")
    assert {f"{row['kind']}:{row['name']}" for row in rows if row["origin"] == "bundled"} == expected
    assert {row["state"] for row in rows} == {"on"}
    assert vibro(env, "plugins", "info", "mahalanobis")["path"]
    assert vibro(env, "plugins", "check", "quantile", "--quick")["components"]


def test_wheel_built_from_the_sdist(dist, installed):
    names = zipfile.ZipFile(next(dist.glob("*.whl"))).namelist()
    shipped = {"vibro/registry.toml", "vibro/py.typed", "vibro/cli/scaffold/detector.py.tmpl"}
    assert shipped | {"vibro_plugins/deep/encoder.safetensors"} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vibro", "vibro_plugins"}
    assert installed.folder in where(installed).parents
    check_installation(installed)


def test_editable_install(fresh):
    fresh.pip("install", "-e", ROOT)
    assert where(fresh) == ROOT / "engine" / "vibro" / "__init__.py"
    check_installation(fresh)


def test_a_third_party_is_found_checked_and_removed(installed):
    installed.pip("install", ROOT / "examples" / "vibro-envelope")
    rows = [row for row in vibro(installed, "plugins", "list") if row["plugin"] == "vibro_envelope"]
    assert {(row["kind"], row["name"], row["origin"], row["version"], row["state"]) for row in rows} == {
        ("feature", "envelope_spectrum", "distribution", "0.1.0", "on"),
        ("detector", "envelope_excess", "distribution", "0.1.0", "on"),
    }
    report = vibro(installed, "plugins", "check", "vibro_envelope")
    assert {c["status"] for part in report["components"] for c in part["checks"]} == {"passed"}
    table = vibro(installed, "plugins", "info", "envelope_spectrum")
    assert table["path"].endswith("vibro_envelope.py")
    assert table["parameters"][0]["name"] == "bands"
    assert table["parameters"][0]["bounds"] == ">= 4, <= 256"
    assert "vibro_envelope" not in {row["plugin"] for row in vibro(installed, "plugins", "list", "--no-plugins")}
    installed.pip("uninstall", "--yes", "vibro-envelope")
    assert "vibro_envelope" not in {row["plugin"] for row in vibro(installed, "plugins", "list")}


@pytest.mark.parametrize("kind", ("detector", "reader"))
def test_a_new_plugin_installs_passes_its_tests_and_shows_up(installed, tmp_path, kind):
    made = vibro(installed, "plugins", "new", "vibro-first-try", "--kind", kind, "-o", tmp_path)
    installed.pip("install", "-e", made["path"])
    assert "first_try" in {row["name"] for row in vibro(installed, "plugins", "list", "--kind", kind)}
    installed.call(installed.bin / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=made["path"])


def test_the_example_is_short():
    lines = (ROOT / "examples/vibro-envelope/src/vibro_envelope.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60
