"""No plugin can hurt a run: every hostile one is survived, named, and moves no other detector's score."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from vibro.errors import PluginError, PluginLoadError
from vibro.events import DetectorFailed
from vibro.host.isolation import load_isolated
from vibro.host.isolation.limits import Limits
from vibro.host.manager import PluginHost

from .hostile import ZOO
from .runs import GOOD, LIMITS, marked, new_host, run

SHORT = Limits(seconds=3.0, import_seconds=2.0, memory=8 << 30)
QUICK = {"raises_in_score", "system_exit", "none", "an_object", "forces_input", "hangs", "forks", "segfault"}


@pytest.fixture
def zoo_plugin(tmp_path):
    """zoo_plugin(name) writes a hostile plugin and loads it isolated."""

    def load(name: str):
        path = tmp_path / f"zoo_{name}.py"
        path.write_text(ZOO[name].text(name))
        return load_isolated("hostile", path.stem, file=path, limits=SHORT if name == "slow_import" else LIMITS)

    yield load
    end = time.monotonic() + 10
    while marked() and time.monotonic() < end:
        time.sleep(0.1)
    assert marked() == [], "a process of a plugin outlived its run"


@pytest.mark.parametrize("name", [name for name, plugin in ZOO.items() if plugin.phase == "import"])
def test_a_plugin_that_cannot_be_loaded_is_named_with_its_reason(zoo_plugin, name):
    host = new_host()
    start = time.monotonic()
    with pytest.raises(PluginError) as caught:
        host.register_module("hostile", zoo_plugin(name))
    assert time.monotonic() - start < SHORT.import_seconds + 10
    assert caught.value.plugin == "hostile"
    assert ZOO[name].said in str(caught.value)
    assert host.component("detector", "mahalanobis")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name, plugin in ZOO.items()
        if plugin.phase != "import"
    ],
)
def test_other_detectors_do_not_notice_a_hostile_one(zoo_plugin, batch, calm, name):
    host = new_host()
    seen = []
    host.emit = lambda event: seen.append(event)
    before = batch.x.copy(), os.getcwd(), dict(os.environ), np.random.get_state()[1].copy()
    host.register_module("hostile", zoo_plugin(name))
    start = time.monotonic()
    _, matrix, verdict = run(host, batch, [*GOOD, {"use": "hostile"}])
    assert time.monotonic() - start < 2 * (LIMITS.seconds + 5) + 20
    ids = ["mahalanobis", "ecod", "knn"]
    columns = [matrix.detectors.index(ident) for ident in ids]
    assert matrix.raw[:, columns].tobytes() == calm[1].raw.tobytes()
    assert matrix.z[:, columns].tobytes() == calm[1].z.tobytes()
    assert np.array_equal(batch.x, before[0])
    assert (os.getcwd(), dict(os.environ)) == before[1:3]
    assert np.array_equal(np.random.get_state()[1], before[3])
    failures = [event for event in seen if isinstance(event, DetectorFailed)]
    if ZOO[name].phase == "run":
        assert [(event.detector, event.plugin) for event in failures] == [("hostile", "hostile")]
        assert ZOO[name].said in failures[0].error
        assert matrix.detectors == tuple(ids)
        assert verdict.score.tobytes() == calm[2].score.tobytes()
    else:
        assert failures == []
        assert "hostile" in matrix.detectors
        if name == "one_nan":
            assert np.isnan(matrix.z[0, matrix.detectors.index("hostile")])
    close(host)


def close(host: PluginHost) -> None:
    host.component("detector", "hostile").worker.close()


def test_there_are_at_least_thirty():
    assert len(ZOO) >= 30


def test_two_plugins_of_one_name_are_refused_by_name(tmp_path):
    host = new_host()
    for i in (1, 2):
        path = tmp_path / f"twin_{i}.py"
        path.write_text(ZOO["prints_at_import"].text("twin"))
        load = lambda path=path: load_isolated(path.stem, path.stem, file=path, limits=LIMITS)  # noqa: E731
        if i == 1:
            host.register_module("twin_1", load())
        else:
            with pytest.raises(PluginError, match=r"twin_1 .* twin_2"):
                host.register_module("twin_2", load())


def test_an_entry_point_to_nothing_is_named():
    with pytest.raises(PluginLoadError, match="module_that_nobody_wrote"):
        load_isolated("ghost", "module_that_nobody_wrote", limits=LIMITS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, plugin in ZOO.items() if plugin.phase != "import"])
def test_the_kit_finds_every_hostile_plugin(tmp_path, monkeypatch, name):
    """Whatever does not announce itself in a run is found by at least one check."""
    from vibro.testing.plugin import check_in_child

    if name in (
        "prints_at_import",
        "registers_twice",
        "keyboard_interrupt",
        "takes_20_gigabytes",
        "floods_the_channel",
    ):
        pytest.skip("harmless once loaded, or ends the kit's own process")
    monkeypatch.chdir(tmp_path)  # one of them leaves a large file where it runs
    path = tmp_path / f"zoo_{name}.py"
    path.write_text(ZOO[name].text(name))
    try:
        report = check_in_child(str(path), host=new_host(), seconds=30)
    except PluginError:
        return
    outcomes = report["components"][0]["checks"]
    assert [c["name"] for c in outcomes if c["status"] == "failed"]
