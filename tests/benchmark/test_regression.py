"""``vibro benchmark compare``: what is worse, what cannot be told, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro.benchmark.regression import Limit, _difference, _noise
from vibro.cli import run
from vibro.errors import ConfigError

from .toys import PLUGIN, bench, compared, relabel


def test_compare_says_what_is_worse(place, capsys):
    assert bench(place, "--seeds", "6", out="a") == 0
    capsys.readouterr()
    assert run(["benchmark", "compare", str(place / "a"), str(place / "a"), "--json"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["rows"] and all(r["diff"] == 0 for r in same["rows"])
    with np.load(place / "toy.npz") as file:
        arrays = dict(file)
    arrays["signals"] /= arrays["signals"].std(axis=1, keepdims=True)  # the level is gone
    np.savez(place / "toy.npz", **arrays)
    assert bench(place, "--seeds", "6", out="b") == 0
    pair = ["benchmark", "compare", str(place / "a"), str(place / "b")]
    assert run(pair) == 0
    assert "differences were tested: by chance alone, about" in capsys.readouterr().err
    assert run([*pair, "--fail-on-worse", "average_precision:0.1"]) == 1
    assert run([*pair[:2], pair[3], pair[2], "--fail-on-worse", "average_precision:0.1"]) == 0
    assert run([*pair, "--fail-on-worse", "speed:0.1"]) == 2
    assert run(["benchmark", "compare", str(place / "a"), str(place)]) == 6


def test_an_interval_of_too_few_draws_is_no_finding():
    rows = []
    for draws in (2, 6):
        a, b = np.linspace(0.90, 0.91, draws), np.linspace(0.88, 0.86, draws)
        rows.append({"set": f"of {draws}", "metric": "average_precision"} | _difference([(a, b)], ["x"]))
        assert rows[-1]["hi"] < 0
    assert [r["set"] for r in Limit("average_precision", 0.01).violations({"rows": rows})] == ["of 6"]
    assert _noise(rows, 1, 2) == ["2 draws of one data set cannot show a difference at 5%: it takes 6"]
    assert _noise(rows, 5, 2) == ["5 data sets cannot show a difference at 5%: it takes 6"]
    assert not _noise(rows, 1, 6)


def test_a_detector_that_fails_in_b_is_worse(place, capsys):
    text = (place / "toy_ensemble.toml").read_text()
    (place / "toy_ensemble.toml").write_text(text.replace("toy_peak", "toy_fragile"))
    assert bench(place, out="a") == 0
    (place / "toy.py").write_text(PLUGIN.replace("ODD", "0"))
    assert bench(place, out="b") == 0
    lost = {r["set"] for r in compared(place, capsys)["rows"] if r["lost"]}
    assert "toy_fragile" in lost and "toy_level" not in lost
    pair = ["benchmark", "compare", str(place / "a"), str(place / "b"), "--fail-on-worse", "average_precision:0.9"]
    assert run(pair) == 1
    assert "worse: toy_fragile average_precision 4 draws are missing in B" in capsys.readouterr().out


def test_compare_tells_other_records_and_protocols_and_takes_one_ensemble_under_two_names(place, capsys):
    assert bench(place, "--combinations", "1", out="a") == 0
    (place / "toy_ensemble.toml").rename(place / "renamed.toml")
    suite = (place / "suite.toml").read_text().replace("toy_ensemble", "renamed")
    (place / "suite.toml").write_text(suite)
    with np.load(place / "toy.npz") as file:
        relabel(place, signals=file["signals"] + 1)
    assert bench(place, "--combinations", "1", "--split", "recording", out="b") == 0
    found = compared(place, capsys)
    assert {r["ensemble"] for r in found["rows"]} == {"toy_ensemble"}
    told = " ".join(found["warnings"])
    assert "toy: A and B hold other records" in told and "splits differs" in told


def test_what_cannot_be_judged_is_an_error_for_ci(place, capsys):
    assert bench(place, "--seeds", "1", out="a") == 0
    suite = (place / "suite.toml").read_text().replace('name = "toy"', 'name = "other"')
    (place / "suite.toml").write_text(suite)
    assert bench(place, "--seeds", "1", out="b") == 0
    pair = ["benchmark", "compare", str(place / "a"), str(place / "b")]
    assert run(pair) == 2
    assert "share no row" in capsys.readouterr().err
    for text in ("average_precision:nan", "average_precision:inf", "average_precision"):
        assert run([*pair[:3], str(place / "a"), "--fail-on-worse", text]) == 2
    rows = [{"set": "baseline:rms", "metric": "f1", "diff": -0.5, "lo": None, "hi": None, "lost": 0}]
    with pytest.raises(ConfigError, match="share no f1"):
        Limit("f1", 0.1).violations({"rows": rows})
    rows.append(rows[0] | {"set": "toy"})
    assert Limit("f1", 0.1).violations({"rows": rows}) == rows[1:]


@pytest.mark.parametrize("text", ["{}", "[]", '{"ensembles": {}, "data": []}'])
def test_what_is_no_benchmark_is_not_compared(place, capsys, text):
    assert bench(place, "--seeds", "1", "--combinations", "1", out="a") == 0
    (place / "b").mkdir()
    (place / "b" / "benchmark.json").write_text(text)
    capsys.readouterr()
    for pair in ("a", "b"), ("b", "a"):
        assert run(["benchmark", "compare", *(str(place / name) for name in pair)]) == 2
        told = capsys.readouterr().err
        assert "benchmark.json lacks" in told and "failures, seeds" in told and "run the benchmark again" in told
