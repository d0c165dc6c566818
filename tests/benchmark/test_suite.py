"""Suites and options: what cannot be is refused in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.benchmark.suite import read_suite
from vibro.cli import run
from vibro.errors import ConfigError

from .toys import bench

POOLS = '[[pools]]\nname = "p"\n'


@pytest.mark.parametrize(
    ("options", "pool", "said"),
    [
        (["--protocol", "nope"], "", "'pool' or 'normals'"),
        (["--split", "window"], "", "'machine', 'recording'"),
        (["--ensemble", ""], "", "names no ensemble"),
        (["--thresholders", ""], "", "names no thresholder"),
        (["--fs", "100", "--max-quarantine", "0.5"], "", "--fs, --max-quarantine would have no effect"),
        ([], 'variant = "light"\n', "no pool can be drawn"),
        ([], 'variant = "noisy"\ncontamination = 0.05\n', "add snr_db"),
        ([], 'variant = "episode"\n', "add contamination"),
    ],
)
def test_options_that_mean_nothing_are_refused(place, capsys, options, pool, said):
    if pool:
        (place / "suite.toml").write_text((place / "suite.toml").read_text() + POOLS + pool)
    assert bench(place, *options) == 2
    assert said in capsys.readouterr().err


def test_a_missing_option_is_named(capsys):
    assert run(["benchmark", "run", "toy.npz"]) == 2
    assert "Missing option" in (told := capsys.readouterr().err) and "--out" in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": 0}, "no anomalous record"),
        ({"machine": "one"}, "one machine only"),
        ({"suite": 'sets = [{ name = "a", pathh = "x" }]'}, "unknown parameter"),
        ({"suite": "seeds = 0\n[[sets]]\nname = 'a'"}, "out of bounds"),
        ({"suite": "seeds = 1"}, "names no data set"),
        ({"missing": True}, "is missing"),
        ({"fuser": "nothing"}, "nothing"),
        ({"combinations": "²"}, "all, pairs, or the largest number of members"),
    ],
)
def test_bad_input_is_one_clear_sentence(place, capsys, change, said):
    with np.load(place / "toy.npz") as file:
        arrays = dict(file)
    more = []
    if "label" in change:
        arrays["label"][:] = 0
    if "machine" in change:
        arrays["machine_id"][:] = arrays["sensor_id"][:] = "m0"
        more = ["--split", "machine"]
    if "fuser" in change:
        more = ["--fusers", "nothing"]
    if "combinations" in change:
        more = ["--combinations", change["combinations"]]
    np.savez(place / "toy.npz", **arrays)
    if "suite" in change:
        (place / "suite.toml").write_text(change["suite"])
    if "missing" in change:
        (place / "toy.npz").unlink()
    assert bench(place, *more) in (2, 3)
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text


def test_suites_of_the_repository_are_valid():
    from pathlib import Path

    folder = Path(__file__).parents[2] / "benchmarks" / "suites"
    suites = sorted(folder.glob("*.toml"))
    assert suites
    for path in suites:
        suite = read_suite(path)
        assert suite.summary and suite.name == path.stem
        assert all(Path(e).is_file() for e in (*suite.ensembles, *suite.plugins) if e.endswith((".toml", ".py")))
    with pytest.raises(ConfigError, match="no such file"):
        read_suite(folder / "none.toml")


def test_a_set_is_named_by_its_data():
    from pathlib import Path

    from vibro.benchmark.suite import Suite
    from vibro.runs.benchmark import suite_of_data

    def name(path):
        return suite_of_data([Path(path)], Suite("data")).sets[0].name

    assert name("/a/plant/data.npz") == "plant" and name("/a/plant/motor.jsonl.gz") == "motor"
