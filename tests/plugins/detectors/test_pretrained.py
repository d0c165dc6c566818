"""An encoder trained elsewhere: it works on few records, refuses weights that it cannot use, and can be trained anew."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from vibro.api import Context, Disturbed, NotApplicableError, Pool
from vibro.core.task import ArrayRef, FitTask
from vibro.core.worker import fit_task
from vibro_plugins.deep import weights as files
from vibro_plugins.deep.encoder import Encoder, encoder_of
from vibro_plugins.deep.training import arrays
from vibro_plugins.deep.weights import BUNDLED, dump_weights, read_weights
from vibro_plugins.detectors import pretrained
from vibro_plugins.detectors.pretrained import Pretrained
from vibro_plugins.dsp.profile import VALUES
from vibro_plugins.features.profile import Profile
from vibro_plugins.stats.sensor_scale import SensorScale


def records(n, seed=0, length=2000, odd=False):
    """Noise and two lines (n, 1, length); odd ones have an impact train too."""
    rng, t = np.random.default_rng(seed), np.arange(length)
    x = np.sin(0.2 * t + 6 * rng.random((n, 1))) + 0.3 * np.sin(0.53 * t + 6 * rng.random((n, 1)))
    x = x * (1 + 0.05 * rng.standard_normal((n, 1))) + 0.1 * rng.standard_normal((n, length))
    if odd:
        x += 1.5 * np.exp(-(t % 160) / 12) * np.sin(1.9 * t)
    return x[:, None].astype(np.float32)


def profiles(*parts):
    """Profiles of these records in units of the first."""
    views = [Profile.make({}, Context()).transform({"raw": x}).astype(np.float64) for x in parts]
    scale = SensorScale.fit(views[0], np.zeros(len(views[0]), np.intp), 50.0)
    return [scale.apply(view, np.zeros(len(view), np.intp), 12.0) for view in views]


@pytest.fixture(scope="module")
def rows():
    return profiles(records(40), records(60, 1), records(60, 2, odd=True))


def made(ctx=None, **settings):
    return Pretrained.make(settings, ctx or Context())


def test_forty_records_are_enough_and_new_ones_score_like_those_of_the_fit(rows):
    fit, sound, odd = rows
    task = FitTask(
        "p",
        Pretrained,
        made().params,
        Context(),
        ArrayRef(fit),
        np.arange(40),
        (np.arange(40) % 5).astype(np.int8),
        False,
    )
    result = fit_task(task)
    assert result.status == "ok", result.reason
    detector = made()
    detector.load_state(result.state)
    new = detector.score(sound)
    assert np.mean(detector.score(odd)[:, None] > new) > 0.95
    assert abs(np.median(result.reference) - np.median(new)) < 0.5 * np.std(new)  # a fit row counts as if left out
    assert np.array_equal(detector.score(sound[7:8]), new[7:8])


def test_a_restored_one_scores_the_rows_of_its_fit_as_before(rows):
    detector, restored = made(), made()
    x = np.concatenate([rows[0], rows[1]])
    detector.fit(x)
    restored.load_state(detector.state())
    assert np.array_equal(restored.score(x), detector.score(x))


def test_the_shape_of_a_departure_counts_for_a_bounded_factor(rows):
    detector = made()
    detector.fit(rows[0])
    size = np.log(np.sqrt(np.mean(detector._seen.apply(rows[2]).astype(np.float64) ** 2, axis=(1, 2, 3))))
    swayed = detector.score(rows[2]) - size
    assert np.ptp(swayed) > 0 and np.abs(swayed).max() < 0.51


def test_several_channels_are_taken_and_other_rows_are_refused(rows):
    two = np.concatenate([rows[0], rows[1][:40]], axis=1)
    detector = made()
    detector.fit(two)
    assert detector.score(two).shape == (40,)
    with pytest.raises(NotApplicableError, match=f"profiles of {VALUES} values"):
        made().fit(rows[0][:, :-1])
    with pytest.raises(NotApplicableError, match="constant"):
        made().fit(np.zeros_like(rows[0]))


def test_the_bundled_weights_say_what_they_are_and_hold_no_path():
    found, about = read_weights()
    assert BUNDLED.stat().st_size < 5 << 20 and about["detector"] == "pretrained"
    assert encoder_of(found) and len(about["data"]) == 48 and "/" not in json.dumps(about)
    names = {part["name"].split("-")[0] for part in about["data"]}
    assert names == {"transformer", "bearing"}  # simulated machines alone


def test_weights_that_cannot_be_used_are_refused_with_the_reason(tmp_path, monkeypatch, rows):
    good = dump_weights(arrays(Encoder(), ""), {})
    path = tmp_path / "w.safetensors"

    def refused(content, match):
        path.write_bytes(content)
        with pytest.raises(NotApplicableError, match=match):
            made(weights=str(path)).fit(rows[0])

    refused(good[:-1] + bytes([good[-1] ^ 1]), "damaged")
    refused(good[:500], "no file of vibro pretrain")
    refused(b"", "no file of vibro pretrain")
    refused(dump_weights({"lines.0.weight": np.zeros((3, 3), np.float32)}, {}), "not those of an encoder")
    with pytest.raises(NotApplicableError, match="cannot read"):
        made(weights=str(tmp_path / "none")).fit(rows[0])
    monkeypatch.setattr(files, "FORMAT", 2)
    newer = dump_weights(arrays(Encoder(), ""), {})
    monkeypatch.undo()
    refused(newer, "format 2, this vibro reads format 1: make them again with vibro pretrain")
    path.write_bytes(good)
    made(weights=str(path)).fit(rows[0])


def pool(seed):
    """A pool in which copies of two different records have the same impacts."""
    calm, n = records(60, seed), 40
    row, other = np.arange(n), (np.arange(n) + 7) % 60
    hit = records(n, seed + 50, odd=True) - records(n, seed + 50)
    x, one, two = profiles(calm, calm[row] + hit, calm[other] + hit)
    return Pool(x, Disturbed(one, row), Disturbed(two, other))


def test_pretraining_learns_and_gives_the_same_file_again(monkeypatch, tmp_path, rows):
    monkeypatch.setattr(pretrained, "STEPS", 20)
    pools, done = [pool(1), pool(2)], []
    content = made(Context(seed=3, progress=lambda k, total: done.append((k, total)))).pretrain(pools, {"seed": 3})
    assert done[-1] == (20, 20) and content == made(Context(seed=3)).pretrain(pools, {"seed": 3})
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)
    _, about = read_weights(path)
    assert about["seed"] == 3 and about["loss"][-1] < about["loss"][0]
    detector = made(weights=str(path))
    detector.fit(rows[0])
    assert np.mean(detector.score(rows[2])[:, None] > detector.score(rows[1])) > 0.9


def test_pools_without_variation_are_left_out_and_none_is_an_error(monkeypatch):
    monkeypatch.setattr(pretrained, "STEPS", 2)
    flat = replace(pool(1), x=np.zeros((60, VALUES), np.float32))
    assert made().pretrain([flat, pool(2)], {})
    with pytest.raises(NotApplicableError, match="no pool of records can be learned from: the view is constant"):
        made().pretrain([flat], {})
