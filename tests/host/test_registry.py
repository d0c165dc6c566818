"""The registry: ensembles that extend one another."""

from __future__ import annotations

import pytest

from vibro.errors import ConfigError
from vibro.host.registry import read_registry


def test_an_ensemble_extends_another_and_adds_to_it(tmp_path):
    overlay = tmp_path / "registry.toml"
    overlay.write_text(
        "[ensembles.mine]\nextends = 'quick'\nquorum = 0.3\nadd = [{ use = 'lstm_ae' }]\n"
        "[ensembles.yours]\nextends = 'mine'\nadd = [{ use = 'mahalanobis', id = 'again' }]\n"
        "[ensembles.loop]\nextends = 'pool'\n[ensembles.pool]\nextends = 'loop'\n"
        "[ensembles.wrong]\nextends = 'quick'\nadd = 'lstm_ae'\n"
    )
    registry = read_registry(overlay)
    quick, yours = registry.ensemble("quick"), registry.ensemble("yours")
    assert yours["detectors"][:-2] == quick["detectors"]
    assert yours["detectors"][-2:] == [{"use": "lstm_ae"}, {"use": "mahalanobis", "id": "again"}]
    assert (yours["quorum"], yours["fuser"]) == (0.3, quick["fuser"])
    for name, said in (("loop", "extends itself through loop -> pool -> loop"), ("wrong", "a list of detectors")):
        with pytest.raises(ConfigError, match=said):
            registry.ensemble(name)
