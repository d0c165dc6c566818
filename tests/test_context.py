"""Seeds by name, and devices."""

from __future__ import annotations

import pytest

from vibro import context
from vibro.context import Context, child_seed, resolve_device
from vibro.errors import ConfigError


def test_child_seeds_follow_the_name_not_the_position():
    assert child_seed(0, "knn") == child_seed(0, "knn")
    assert len({child_seed(seed, name) for seed in range(20) for name in ("a", "b", "c")}) == 60
    assert Context(seed=4).child("a").child("b").seed != Context(seed=4).child("b").child("a").seed


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99", "tpu"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ConfigError):
        resolve_device(device)


def test_torch_is_asked_for_a_gpu_only_where_a_driver_has_left_a_device(tmp_path, monkeypatch):
    monkeypatch.setattr(context.sys, "platform", "linux")
    assert not context._may_have_gpu(tmp_path)
    (tmp_path / "nvme0").touch()
    assert not context._may_have_gpu(tmp_path)
    (tmp_path / "nvidiactl").touch()
    assert context._may_have_gpu(tmp_path)
    monkeypatch.setattr(context.sys, "platform", "win32")
    assert context._may_have_gpu(tmp_path / "none")
