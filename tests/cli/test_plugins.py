"""vibro plugins: list, info, enable, disable, new, check."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vibro.cli import run

KINDS = ("reader", "feature", "detector", "fuser", "thresholder", "classifier", "metric")


@pytest.fixture
def vibro(tmp_path, monkeypatch, capsys):
    """vibro("plugins", "list") -> (exit code, stdout, stderr), in an empty folder with settings of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("VIBRO_REGISTRY", raising=False)

    def call(*argv: str) -> tuple[int, str, str]:
        code = run(list(argv))
        return code, *capsys.readouterr()

    return call


def bad_plugin(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_list_names_what_ships_without_importing_it(vibro, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("vibro_plugins.detectors.")]:
        monkeypatch.delitem(sys.modules, name)
    code, out, _ = vibro("plugins", "list", "--json", "--no-plugins")
    rows = {(row["kind"], row["name"]): row for row in json.loads(out)}
    assert code == 0
    assert "vibro_plugins.detectors.mahalanobis" not in sys.modules
    row = rows["detector", "mahalanobis"]
    assert set(row) == {"kind", "name", "plugin", "origin", "version", "state", "reason", "view", "summary"}
    assert (row["origin"], row["state"], row["view"]) == ("bundled", "on", {"use": "per_sensor", "of": "mains"})
    assert row["summary"]


def test_list_filters(vibro):
    _, out, _ = vibro("plugins", "list", "--kind", "fuser")
    kinds = {line.split()[0] for line in out.splitlines()[1:]}
    assert kinds == {"fuser"}
    code, _, err = vibro("plugins", "list", "--kind", "oracle")
    assert code == 2
    assert "thresholder" in err


def test_list_shows_a_broken_plugin_with_its_reason(vibro, tmp_path):
    (tmp_path / "registry.toml").write_text('[plugins.sad]\nmodule = "sad_module_that_is_not_there"\ntrusted = true\n')
    code, out, err = vibro("plugins", "list", "--json")
    row = next(row for row in json.loads(out) if row["plugin"] == "sad")
    assert code == 0
    assert (row["kind"], row["state"], row["origin"]) == (None, "broken", "overlay")
    assert "sad_module_that_is_not_there" in row["reason"]
    assert "sad" in err


def test_info_shows_parameters(vibro):
    code, out, _ = vibro("plugins", "info", "mahalanobis", "--json")
    table = json.loads(out)
    assert code == 0
    parameters = {p["name"]: p for p in table["parameters"]}
    assert all(set(p) == {"name", "type", "default", "bounds", "doc"} for p in parameters.values())
    assert all(p["doc"] for p in parameters.values())
    assert table["path"].endswith("mahalanobis.py")
    _, text, _ = vibro("plugins", "info", "detector:mahalanobis")
    assert "parameter" in text and next(iter(parameters)) in text


def test_info_of_an_unknown_name(vibro):
    code, _, err = vibro("plugins", "info", "mahalanobiss")
    assert code == 2
    assert "did you mean mahalanobis?" in err


def test_disable_and_enable(vibro, tmp_path):
    code, out, _ = vibro("plugins", "disable", "mahalanobis")
    path = tmp_path / "config" / "vibro" / "registry.toml"
    assert code == 0
    assert str(path) in out and "enabled = false" in out
    _, out, _ = vibro("plugins", "list", "--all", "--json")
    assert next(r["state"] for r in json.loads(out) if r["plugin"] == "mahalanobis") == "off"
    _, out, _ = vibro("plugins", "list", "--json")
    assert "mahalanobis" not in {row["plugin"] for row in json.loads(out)}
    code, out, _ = vibro("plugins", "enable", "mahalanobis", "--json")
    assert json.loads(out) == {"path": path.as_posix(), "name": "mahalanobis", "enabled": True}
    _, out, _ = vibro("plugins", "list", "--json")
    assert "mahalanobis" in {row["plugin"] for row in json.loads(out)}


def test_switch_of_an_unknown_plugin(vibro):
    code, _, err = vibro("plugins", "disable", "pyod")
    assert code == 2
    assert "pyod is a component of plugin pyod_baselines" in err


@pytest.mark.parametrize("kind", KINDS)
def test_new_writes_a_plugin_that_passes_its_checks(vibro, tmp_path, kind):
    from vibro.testing.plugin import check_plugin

    code, out, _ = vibro("plugins", "new", f"vibro-my-{kind}", "--kind", kind)
    assert code == 0
    assert "next: pip install" in out and f"then: vibro plugins check my_{kind}" in out
    folder = tmp_path / f"vibro-my-{kind}"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"pyproject.toml", "README.md", f"src/vibro_my_{kind}.py", f"tests/test_my_{kind}.py"}
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["vibro"] == {f"my_{kind}": f"vibro_my_{kind}"}
    file = folder / "src" / f"vibro_my_{kind}.py"
    report = check_plugin(file.stem, str(file), None, quick=True, seed=0)
    assert [c["name"] for c in report["components"]] == [f"my_{kind}"]
    assert [c for c in report["components"][0]["checks"] if c["status"] != "passed"] == []
    subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,B,UP", "--line-length", "120", folder],
        check=True,
    )


def test_new_refuses(vibro, tmp_path):
    assert vibro("plugins", "new", "Vibro Foo", "--kind", "detector")[0] == 2
    assert vibro("plugins", "new", "vibro-mahalanobis", "--kind", "detector")[0] == 2
    (tmp_path / "vibro-foo").mkdir()
    code, _, err = vibro("plugins", "new", "vibro-foo", "--kind", "detector")
    assert code == 2
    assert "exists already" in err


def test_check_passes_a_bundled_plugin(vibro):
    code, out, _ = vibro("plugins", "check", "quantile", "--json")
    report = json.loads(out)
    assert code == 0
    checks = report["components"][0]["checks"]
    assert {c["status"] for c in checks} == {"passed"}
    assert {"name", "status", "detail", "seconds"} <= set(checks[0])
    assert checks[0]["name"] == "check_provides"


WRONG = """
from vibro import hookimpl
from vibro.api import Thresholder

class Cut(Thresholder):
    "A cut that rises with the budget."
    name = "rising"
    def cut(self, scores, budget, y=None):
        return float(budget)

@hookimpl
def register_thresholders(register):
    register(Cut)
"""


def test_check_finds_what_is_wrong_and_how_to_see_it(vibro, tmp_path):
    path = bad_plugin(tmp_path, "rising", WRONG)
    code, out, _ = vibro("plugins", "check", str(path), "--quick")
    assert code == 1
    assert "check_budget: The cut never rises as the budget grows." in out
    assert "run_check(Cut, 'check_budget')" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\nos._exit(3)\n", "ended with code 3"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import sys\nsys.exit()", "SystemExit"),
    ],
)
def test_check_survives_a_plugin_that_does_not_load(vibro, tmp_path, text, said):
    path = bad_plugin(tmp_path, "sad", text)
    code, _, err = vibro("plugins", "check", str(path))
    assert code == 5
    assert said in err
    assert "Traceback" not in err


def test_check_gives_up_on_a_plugin_that_hangs(vibro, tmp_path):
    path = bad_plugin(tmp_path, "slow", "import time\ntime.sleep(100)\n")
    code, _, err = vibro("plugins", "check", str(path), "--timeout", "3")
    assert code == 5
    assert "longer than 3 s" in err


def test_check_of_an_unknown_plugin(vibro):
    assert vibro("plugins", "check", "no_such_plugin")[0] == 2
