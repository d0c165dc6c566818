"""Which band makes the score: found where a tone was added, the same as the model's own judgement, absent with a reason."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.runs.occlusion import as_in, band_edges

FS, LENGTH, N, ODD = 2000.0, 1024, 150, 77
TONE = 430.0  # Hz


@pytest.fixture(scope="module")
def run(tmp_path_factory, two):
    folder = tmp_path_factory.mktemp("occlusion")
    rng = np.random.default_rng(0)
    t = np.arange(LENGTH) / FS
    x = rng.standard_normal((N, LENGTH)) + 3 * np.sin(2 * np.pi * 100 * t)
    x[ODD] += 4 * np.sin(2 * np.pi * TONE * t)
    np.savez(folder / "a.npz", signals=x.astype(np.float32), fs=FS)
    assert vibro(["ensemble", "run", str(folder / "a.npz"), "-o", str(folder / "run"), *two]) == 0
    return folder / "run"


def told(run, capsys, more=()):
    capsys.readouterr()
    assert vibro(["explain", str(run), f"a.npz:{ODD}", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_band_of_an_added_tone_makes_the_score(run, tmp_path, capsys):
    found = told(run, capsys, ["-o", str(tmp_path / "r.html")])
    occlusion = found["occlusion"]
    assert occlusion["score"] == pytest.approx(found["score"], rel=1e-6)  # scored again by the model
    top = max(occlusion["bands"], key=lambda b: b["fall"])
    assert top["low_hz"] < TONE < top["high_hz"] and set(top["z"]) == {"mahalanobis", "rise"}
    assert occlusion["score"] - top["score"] > 0.5 * (occlusion["score"] - occlusion["score_as_normal"]) > 0
    others = [b for b in occlusion["bands"] if b is not top]
    assert all(abs(b["fall"]) < 0.3 * top["fall"] for b in others)
    assert found["record_id"] not in occlusion["normal"] and len(occlusion["normal"]) == 3
    page = (tmp_path / "r.html").read_text()
    assert 'id="occlusion"' in page
    assert found["attributions"] == [] and '"attribution":' not in page  # no network says where


def test_a_run_that_lost_its_model_is_damaged(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    assert vibro(["explain", str(tmp_path / "run"), f"a.npz:{ODD}"]) == 6
    assert "model" in capsys.readouterr().err


def test_a_run_of_vibro_score_asks_the_model_that_scored_it(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    line = ["score", str(tmp_path / "run"), str(run.parent / "a.npz"), "-o", str(tmp_path / "scored"), "--no-report"]
    assert vibro([*line, "--quiet"]) == 0
    found = told(tmp_path / "scored", capsys)
    assert found["occlusion"]["score"] == pytest.approx(found["score"], rel=1e-6)
    shutil.rmtree(tmp_path / "run")
    assert vibro(["explain", str(tmp_path / "scored"), f"a.npz:{ODD}"]) == 0
    assert "which band makes the score cannot be said" in capsys.readouterr().err


def test_bands_cover_the_spectrum_once_and_all_of_them_make_the_other_record():
    hz, bands = band_edges(LENGTH, FS)
    assert all(sum(low <= f < high for low, high in bands) == 1 for f in hz)
    x, other = np.random.default_rng(0).standard_normal((2, 2, LENGTH)).astype(np.float32)
    assert np.allclose(as_in(x, other, np.ones(len(hz), bool)), other, atol=1e-5)
    assert np.allclose(as_in(x, other, np.zeros(len(hz), bool)), x, atol=1e-5)
    assert all(low < high for low, high in band_edges(64, FS)[1])
