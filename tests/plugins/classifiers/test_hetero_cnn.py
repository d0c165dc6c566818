"""``hetero_cnn``: what is frozen stays, what is unfrozen moves, rows are read a batch at a time and drawn by weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibro.api import Context, NotApplicableError
from vibro.testing import signals
from vibro_plugins.classifiers.hetero_cnn import HeteroCnn, Net, macro_f1
from vibro_plugins.deep.training import arrays
from vibro_plugins.detectors.deep_svdd import DeepSvdd
from vibro_plugins.detectors.hetero_vae import HeteroVae

PICTURES = "1 32 32"
SMALL = {"width": 4, "head": 6, "epochs": 3, "lr": 0.01}


@pytest.fixture(scope="module")
def data():
    easy = signals.easy(PICTURES, seed=1)
    return easy.x, easy.y, np.ones(len(easy.x), np.float32)


@pytest.fixture(scope="module", params=[DeepSvdd, HeteroVae])
def detector(request):
    alone = {"objective": "one_class"} if request.param is DeepSvdd else {}  # the fit is given no disturbed copies
    made = request.param.make({**request.param.test_settings, **alone}, Context(seed=0))
    made.fit(signals.easy(PICTURES, seed=2, rows=160).fit)
    return made.state()


def fitted(data, begin=None, **settings):
    made = HeteroCnn.make({**SMALL, **settings}, Context(seed=0))
    if begin is not None:
        made.start(begin)
    made.fit(*data)
    return made


def trunk(state):
    return {name: value for name, value in state.items() if name.startswith("net.trunk.")}


def test_trap_30_unfrozen_stages_learn_and_only_they_do(data, detector):
    """Names of stages are the network's own, and each phase has an optimiser of what is unfrozen in it."""
    before = trunk(detector)
    x, y, weight = data
    few = np.where((y == 0) | (np.cumsum(y) <= 4), weight, 0).astype(
        np.float32
    )  # too few to choose an epoch by: the last
    for count, moved in (
        (0, []),
        (1, ["stage3"]),
        (2, ["stage2", "stage3"]),
        (4, ["stem", "stage1", "stage2", "stage3"]),
    ):
        after = trunk(fitted((x, y, few), detector, unfreeze=count).state())
        layers = {"stem": range(2), "stage1": (2,), "stage2": (3,), "stage3": (4,)}
        changed = {n for n in before if not np.array_equal(before[n], after[n])}
        for name, numbers in layers.items():
            mine = {n for n in before if int(n.split(".")[2]) in numbers}
            assert (mine <= changed) if name in moved else not (mine & changed), (count, name)
    assert after["net.trunk.0.weight"].shape == before["net.trunk.0.weight"].shape


def test_the_optimiser_of_each_phase_holds_what_learns_in_it_at_smaller_rates(data, monkeypatch):
    made = []

    class Seen(torch.optim.AdamW):
        def __init__(self, params, **more):
            params = list(params)
            made.append([(sum(p.numel() for p in g["params"]), g["lr"]) for g in params])
            assert all(p.requires_grad for g in params for p in g["params"])
            super().__init__(params, **more)

    monkeypatch.setattr(torch.optim, "AdamW", Seen)
    fitted(data, unfreeze=2)
    assert [len(groups) for groups in made] == [1, 2, 3]
    rates = [rate for _, rate in made[2]]
    assert rates == pytest.approx([0.01, 0.001, 0.0003])


def test_trap_31_a_frozen_encoder_is_in_eval_mode_and_its_statistics_stay():
    net = Net(1, "small", 4, True, 2)
    net.trunk.insert(2, torch.nn.BatchNorm2d(4))  # vibro's have none; one that had would drift in train mode
    net.stages = {"stem": range(3), **{f"stage{s}": range(s + 2, s + 3) for s in (1, 2, 3)}}
    before = arrays(net.trunk)
    optimizer = torch.optim.SGD(net.thaw(0)[0], lr=0.1)
    assert not any(module.training for module in net.trunk.modules()) and net.head.training
    for seed in range(3):
        torch.manual_seed(seed)
        loss = net(5 + torch.randn(8, 1, 32, 32)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = arrays(net.trunk)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    net.thaw(1)
    assert [net.trunk[i].training for i in (0, 2, 3, 4, 5)] == [False, False, False, False, True]


def test_trap_34_pictures_are_read_by_minibatch_and_ignored_rows_not_at_all(data, tmp_path):
    x, y, weight = data
    large = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (600, *x.shape[1:]))
    large[:] = np.tile(x, (10, 1, 1, 1))
    sizes, rows = [], set()

    class Watched(np.ndarray):
        def __getitem__(self, key):
            out = super().__getitem__(key)
            if len(self) == 600 and isinstance(key, np.ndarray) and key.dtype.kind == "i":
                sizes.append(len(key))
                rows.update(key.tolist() if len(key) <= 32 else [])
            return out

    padded = np.zeros(600, np.float32)
    padded[: len(x)] = weight
    labels = np.zeros(600, np.int16)
    labels[: len(y)] = y
    made = HeteroCnn.make({**SMALL, "batch": 16}, Context(seed=0))
    made.fit(large.view(Watched), labels, padded)
    assert sorted(sizes)[-1] <= 512 and np.median(sizes) <= 16  # once 512 rows to standardise by, then batches
    assert max(rows) < len(x)


def test_rows_are_drawn_by_their_weight(data):
    x, y, weight = data
    seen = np.zeros(len(x))

    class Counting(np.random.Generator):
        def choice(self, a, size=None, replace=True, p=None):
            part = super().choice(a, size, replace, p)
            np.add.at(seen, part, 1)
            return part

    class Seeded(Context):
        def rng(self):
            return Counting(np.random.PCG64(0))

    weight = weight.copy()
    weight[:15] = 0.1  # pseudo-labels of class 0
    made = HeteroCnn.make({**SMALL, "head": 60, "epochs": 0}, Seeded(seed=0))
    made.fit(x, y, weight)
    drawn = seen[:15].mean() / seen[15:][seen[15:] > 0].mean()
    assert 0.05 < drawn < 0.2


def test_the_epoch_is_chosen_by_macro_f1_on_labels_that_were_held_out(data):
    made = fitted(data)
    curves = made.curves()
    assert len(curves["loss"]) == len(curves["macro_f1"]) == 6 + 2 * 3
    assert max(curves["macro_f1"]) > 0.9
    x, y, weight = data
    few = np.zeros_like(weight)
    few[[0, 1, 2, 40, 41, 42]] = 1
    assert fitted((x, y, few)).curves()["macro_f1"] == []
    assert HeteroCnn.make({}, Context())._held_out(y, few, np.random.default_rng(0)).size == 0


def test_held_out_labels_are_whole_groups_of_real_labels(data):
    _, y, weight = data
    group = np.arange(60) // 5
    weight = weight.copy()
    weight[10:15] = 0.5  # pseudo-labels
    made = HeteroCnn.make({}, Context(groups=group))
    held = made._held_out(y, weight, np.random.default_rng(0))
    assert len(held) >= 10 and not np.isin(held, range(10, 15)).any()
    assert all(np.isin(np.flatnonzero(group == g), held).all() for g in np.unique(group[held]))


def test_it_refuses_a_detector_without_an_encoder_of_pictures():
    with pytest.raises(NotApplicableError, match="no encoder of pictures"):
        HeteroCnn.make({}, Context()).start({"location": np.zeros(3)})


def test_macro_f1_counts_an_absent_class():
    y = np.array([0, 0, 1, 1], np.int16)
    assert macro_f1(y, np.array([0, 0, 1, 1]), 2) == 1
    assert macro_f1(y, np.array([0, 0, 0, 0]), 2) == pytest.approx(1 / 3)
