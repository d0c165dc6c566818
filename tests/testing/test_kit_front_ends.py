"""The front ends of the kit as an author uses them: the pytest decorator, the fixtures, a private import found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vibro.errors import ConfigError, UnknownComponentError
from vibro.testing import run_check
from vibro.testing.parametrize import find, parametrize_with_checks

PLUGIN = """
import numpy as np
from vibro import hookimpl
from vibro.api import Thresholder
{extra}

class Cut(Thresholder):
    "The quantile at the budget."
    name = "own_cut"

    def cut(self, scores, budget, y=None):
        return float(np.quantile(scores, {quantile}))

@hookimpl
def register_thresholders(register):
    register(Cut)
"""
TESTS = """
from vibro.testing import parametrize_with_checks
from own_cut import Cut

@parametrize_with_checks(Cut, expected={expected})
def test_conformance(check):
    check()

@parametrize_with_checks(["thresholder:quantile"])
def test_by_name(check):
    check()

def test_fixtures(vibro_host, vibro_signals, vibro_run):
    import own_cut
    easy = vibro_signals("3 h w")
    assert easy.fit.shape[1:] == (3, 32, 32)
    vibro_host.register_module("own_cut", own_cut)
    table = {{"detectors": [{{"use": "mahalanobis", "view": "spectrum"}}], "thresholder": {{"use": "own_cut"}}}}
    batch, fitted, matrix, verdict = vibro_run(table)
    assert fitted.detectors == ("mahalanobis",)
    assert sorted(verdict.score[100:])[len(verdict.score[100:]) // 2] > sorted(verdict.score[:100])[90]
"""


def pytest_in(folder: Path, quantile: str, expected: str = "{}", extra: str = "") -> str:
    (folder / "own_cut.py").write_text(PLUGIN.format(quantile=quantile, extra=extra))
    (folder / "test_own.py").write_text(TESTS.format(expected=expected))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", folder, folder], capture_output=True, text=True, cwd=folder
    )
    return done.stdout


def test_decorator_and_fixtures_pass_a_sound_plugin(tmp_path):
    out = pytest_in(tmp_path, "1 - budget")
    assert "failed" not in out and "error" not in out, out
    assert "passed" in out.splitlines()[-1]


def test_decorator_fails_a_wrong_plugin_by_the_name_of_the_check(tmp_path):
    out = pytest_in(tmp_path, "budget")
    failed = {line.split("::")[1].split(" ")[0] for line in out.splitlines() if line.startswith("FAILED")}
    assert "test_conformance[own_cut-check_budget]" in failed
    assert all(name.startswith("test_conformance[own_cut-check_") or name == "test_fixtures" for name in failed)


def test_a_declared_failure_must_fail(tmp_path):
    out = pytest_in(tmp_path, "1 - budget", expected='{"check_budget": "known"}')
    assert "1 failed" in out and "XPASS(strict)" in out


def test_a_private_import_is_found(tmp_path, monkeypatch):
    (tmp_path / "own_private.py").write_text(
        PLUGIN.format(quantile="1 - budget", extra="from vibro.host.manager import PluginHost")
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_private

    with pytest.raises(AssertionError, match=r"imports vibro\.host"):
        run_check(own_private.Cut, "check_public_imports")


def test_components_are_found_by_name():
    assert find("mahalanobis").kind == "detector"
    assert find("thresholder:quantile").name == "quantile"
    with pytest.raises(UnknownComponentError, match="nobody"):
        find("nobody")


def test_an_unknown_declared_check_is_refused():
    with pytest.raises(ConfigError, match="check_nothing"):
        parametrize_with_checks(find("quantile"), expected={"check_nothing": "why not"})
