"""Where a network finds a record unlike: where a tone burst or an impact was planted, the same from the bundle."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.core.attribution import attributions
from vibro.host.manager import PluginHost
from vibro.report.data import load
from vibro.runs.model import load_model
from vibro.runs.occlusion import batch_of
from vibro.simulate import simulate

RECORDS, BURST, IMPACT, TONE = 180, 60, 61, 62
BURST_S, BURST_HZ = (0.20, 0.25), (1250.0, 1500.0)
IMPACT_AT, TONE_HZ = 0.33, 1370.0  # where the machine is quiet
ENSEMBLE = """
[ensembles.mapped]
summary = "one network that reads a wavelet map, one that reads a spectrum, and a detector that says nothing"
thresholder = { use = "quantile" }
budgets = { attention = 0.1, alarm = 0.03 }

[[ensembles.mapped.detectors]]
use = "mahalanobis"
view = { use = "per_sensor", of = "spectrum" }

[[ensembles.mapped.detectors]]
use = "hetero_vae"
objective = "exposure"
margin = 10.0
epochs = 4

[ensembles.mapped.detectors.view]
use = "joined"
size = 20
of = [{ use = "cwt_image", size = 20 }]

[[ensembles.mapped.detectors]]
use = "deep_svdd"
objective = "exposure"
epochs = 4
view = { use = "per_sensor", of = "spectrum" }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A fitted run over simulated records, one with a tone burst, one with an impact, each of half the record's RMS."""
    folder = tmp_path_factory.mktemp("attribution")
    (folder / "registry.toml").write_text(ENSEMBLE)
    made = simulate(records=RECORDS, units=1, sensors=1, faults=0.0, fs=4096, length=2048, seed=4, tap_changes=0.0)
    x = made.x[:, 0].astype(np.float64)
    t = np.arange(x.shape[1]) / made.fs
    inside = (t >= BURST_S[0]) & (t < BURST_S[1])
    x[BURST, inside] += 0.2 * x[BURST].std() * np.hanning(inside.sum()) * np.sin(2 * np.pi * TONE_HZ * t[inside])
    after = np.clip(t - IMPACT_AT, 0, None)
    x[IMPACT] += 2 * x[IMPACT].std() * (after > 0) * np.exp(-after / 0.004) * np.sin(2 * np.pi * 900.0 * after)
    x[TONE] += 0.05 * x[TONE].std() * np.sin(2 * np.pi * TONE_HZ * t)
    np.savez(folder / "a.npz", signals=x.astype(np.float32), fs=made.fs)
    line = ["ensemble", "run", str(folder / "a.npz"), "-o", str(folder / "run"), "--ensemble", "mapped", "--quiet"]
    assert vibro([*line, "--registry", str(folder / "registry.toml")]) == 0
    return folder / "run"


def told(run, record, capsys, more=()):
    capsys.readouterr()
    assert vibro(["explain", str(run), f"a.npz:{record}", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def of_record(run, record):
    """The attributions of one record by detector, by the model as it is loaded from the bundle."""
    host = PluginHost.create()
    fitted = load_model(host, run)[0]
    with np.load(run.parent / "a.npz") as data:
        x = data["signals"][record][None, None]
    found, failed = attributions(fitted, batch_of(load(run), [int(record)], x))
    assert not failed
    return {one.detector: one for one in found}


def share_and_area(one, inside, seconds, hz):
    """Of the pixels ``inside``: their share of the error, and of the picture."""
    weight = np.log(hz[..., 1] / hz[..., 0]) * (seconds[..., 1] - seconds[..., 0])
    return one[inside].sum() / one.sum(), weight[inside].sum() / weight.sum()


def test_what_makes_the_score_of_the_vae_lies_where_a_burst_was_planted(run):
    found = of_record(run, BURST)["hetero_vae"]
    seconds, hz = found.extent.seconds[0], found.extent.hz[0]
    inside = (seconds[..., 0] < BURST_S[1] - 1e-9) & (seconds[..., 1] > BURST_S[0] + 1e-9)
    inside &= (hz[..., 0] < BURST_HZ[1]) & (hz[..., 1] > BURST_HZ[0])
    share, area = share_and_area(np.maximum(found.values[0, 0], 0), inside, seconds, hz)
    usual = of_record(run, BURST + 10)["hetero_vae"].values[0, 0]
    other, _ = share_and_area(np.maximum(usual, 0), inside, seconds, hz)
    assert area < 0.02 and share > 5 * area and share > 3 * other


def strongest(run, record, capsys):
    return next(a for a in told(run, record, capsys)["attributions"] if a["detector"] == "hetero_vae")["regions"][0]


def test_the_strongest_region_is_that_of_a_burst(run, capsys):
    first = strongest(run, BURST, capsys)
    assert first["from_s"] <= np.mean(BURST_S) <= first["to_s"] and first["to_s"] - first["from_s"] <= 0.1
    assert first["low_hz"] < TONE_HZ < first["high_hz"] and first["share"] > 4 * first["area"]


def test_the_strongest_region_is_that_of_an_impact(run, capsys):
    first = strongest(run, IMPACT, capsys)
    assert first["from_s"] <= IMPACT_AT + 0.005 <= first["to_s"] and first["to_s"] - first["from_s"] <= 0.1


def test_a_steady_tone_is_there_throughout(run, capsys):
    first = strongest(run, TONE, capsys)
    assert (first["from_s"], first["to_s"]) == (0.0, 0.5)
    assert first["low_hz"] < TONE_HZ < first["high_hz"] and first["share"] > 4 * first["area"]


def test_a_network_on_a_spectrum_names_the_band_without_a_time(run, capsys):
    found = {a["detector"]: a["regions"] for a in told(run, TONE, capsys)["attributions"]}
    assert set(found) == {"hetero_vae", "deep_svdd"}  # mahalanobis says nothing
    first = found["deep_svdd"][0]
    assert first["from_s"] is None and 0.8 * TONE_HZ < first["low_hz"] and first["high_hz"] < 1.25 * TONE_HZ


def test_the_model_of_a_run_gives_the_same_as_when_it_was_fitted(run, tmp_path):
    """The page of the run was made with the model in memory, that of ``vibro report`` with the bundle."""
    assert vibro(["report", str(run), "-o", str(tmp_path / "again.html")]) == 0
    pages = [path.read_text("utf-8") for path in (run / "report.html", tmp_path / "again.html")]
    pictures = [re.findall(r'"attribution":({[^}]*}})', page) for page in pages]
    assert pictures[0] and pictures[0] == pictures[1]
    assert "hetero_vae: most unlike what it learned at " in pages[0]


def test_the_page_of_a_record_says_it_in_both_languages(run, tmp_path, capsys):
    for lang, words in (
        ("en", "most unlike what it learned at 200 to 225 ms"),
        ("zh", "与所学最不相似处在 200 至 225 ms"),
    ):
        page = tmp_path / f"{lang}.html"
        told(run, BURST, capsys, ["-o", str(page), "--lang", lang])
        assert words in page.read_text("utf-8")


SILENT = """
import numpy as np
from vibro import hookimpl
from vibro.api import Detector, Extent, FeatureExtractor

class Rough(FeatureExtractor):
    name, item = "rough", "8"
    def transform(self, inputs):
        parts = np.array_split(inputs["raw"][:, 0], 8, axis=1)
        return np.stack([part.std(axis=1) for part in parts], axis=1).astype(np.float32)

class Far(Detector):
    name, view, item = "far", "rough", "f"
    centre = None
    def fit(self, x, y=None):
        self.centre = np.median(x.astype(np.float64), axis=0)
    def score(self, x):
        return np.abs(x - self.centre).sum(axis=1)
    def state(self):
        return {"centre": self.centre}
    def load_state(self, state):
        self.centre = state["centre"]
    def attribution(self, x):
        return np.abs(x - self.centre)

@hookimpl
def register_features(register):
    register(Rough)

@hookimpl
def register_detectors(register):
    register(Far)
"""
WRONG = """
    def extent(self, inputs):
        return Extent(np.zeros((3, 2)), np.zeros((3, 2)))
"""
PLACED = """
    def extent(self, inputs):
        parts = np.array_split(inputs["raw"].seconds[0], 8)
        return Extent(np.array([(part[0, 0], part[-1, 1]) for part in parts]), np.full((8, 2), np.nan))
"""


@pytest.mark.parametrize("case", ("silent", "wrong", "placed"))
def test_the_view_of_a_plugin_may_say_nothing(tmp_path, monkeypatch, capsys, case):
    """No traceback, and the page is made; one that says where its values lie does so from a process of its own."""
    more, trusted = {"silent": ("", True), "wrong": (WRONG, True), "placed": (PLACED, False)}[case]
    x = np.random.default_rng(0).standard_normal((80, 512)).astype(np.float32)
    x[7, 256:320] *= 30
    np.savez(tmp_path / "a.npz", signals=x, fs=512.0)
    module = f"far_{case}"
    (tmp_path / f"{module}.py").write_text(SILENT.replace("\nclass Far", more + "\nclass Far"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "registry.toml").write_text(
        f'[plugins.far]\nmodule = "{module}"\nprovides = ["feature:rough", "detector:far"]\n'
        f"trusted = {str(trusted).lower()}\n"
        '[ensembles.own]\nsummary = "one"\ndetectors = [{ use = "far" }]\nthresholder = { use = "quantile" }\n'
        "budgets = { attention = 0.1, alarm = 0.03 }\n"
    )
    monkeypatch.setenv("VIBRO_REGISTRY", str(tmp_path / "registry.toml"))
    line = ["ensemble", "run", str(tmp_path / "a.npz"), "-o", str(tmp_path / "run"), "--ensemble", "own", "--quiet"]
    assert vibro(line) == 0
    capsys.readouterr()
    assert vibro(["explain", str(tmp_path / "run"), "a.npz:7", "--json", "-o", str(tmp_path / "r.html")]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)["attributions"]
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "Traceback" not in said.err and ('"attribution":' in page) == (case == "placed")
    if case == "placed":
        first = found[0]["regions"][0]
        assert (first["from_s"], first["to_s"], first["low_hz"]) == (0.5, 0.625, None)
    else:
        assert found == []
    assert ("what makes the score of far cannot be said" in page) == (case == "wrong")
