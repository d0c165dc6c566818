"""Health of the five networks: broken ones declare themselves failed or refuse, sound ones do not, whatever their settings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vibro.api import NotApplicableError
from vibro_plugins.deep import resnet
from vibro_plugins.deep.training import step
from vibro_plugins.detectors.contrastive import pretext, training
from vibro_plugins.detectors.contrastive.augment import Augmentation
from vibro_plugins.detectors.contrastive.losses import moco, nt_xent
from vibro_plugins.detectors.contrastive.networks import ImageEncoder
from vibro_plugins.detectors.deep_svdd import networks as svdd_networks
from vibro_plugins.detectors.deep_svdd import one_class
from vibro_plugins.detectors.deep_svdd.networks import Encoder
from vibro_plugins.detectors.deep_svdd.one_class import centre_of
from vibro_plugins.detectors.hetero_vae import Vae
from vibro_plugins.detectors.lstm_ae import AutoEncoder
from vibro_plugins.detectors.tadgan import TadGan
from vibro_plugins.detectors.tadgan import networks as gan

from .networks import CONTRASTIVE, many_modes, module_of, task

pytestmark = pytest.mark.slow
READS = {  # where a record enters the network
    "deep_svdd": (Encoder, "forward"),
    "hetero_vae": (Vae, "encode"),
    "tadgan": (gan.Encoder, "forward"),
    "contrastive": (ImageEncoder, "forward"),
    "lstm_ae": (AutoEncoder, "forward"),
}


# --- how any network is broken: breakage(monkeypatch, name) -----------------------------------------------------------


def passing(change, at=None):
    """``change(net, forward, x)`` in the place of ``forward(x)``, where a record enters or at another class."""

    def breakage(monkeypatch, name):
        cls, method = (at, "forward") if at else READS[name]
        usual = getattr(cls, method)
        monkeypatch.setattr(cls, method, lambda self, x: change(self, lambda y: usual(self, y), x))

    return breakage


def reading(change, at=None):
    """The network reads ``change(x)`` in the place of x."""
    return passing(lambda net, forward, x: forward(change(x)), at)


def giving(change, at=None):
    """The network gives ``change(y)`` in the place of y."""
    return passing(lambda net, forward, x: change(forward(x)), at)


def built(change, at=None):
    """The network after ``change(net)``."""

    def breakage(monkeypatch, name):
        cls = at or READS[name][0]
        init = cls.__init__

        def broken(self, *sizes):
            init(self, *sizes)
            change(self)

        monkeypatch.setattr(cls, "__init__", broken)

    return breakage


def stepping(change):
    """``change(optimizer, loss)`` in the place of a step."""
    return lambda monkeypatch, name: monkeypatch.setattr(
        module_of(name), "step", lambda optimizer, loss, clip=None: change(optimizer, loss)
    )


def replacing(owner, attribute, value):
    """Something else in the place of a part of a module or class."""
    return lambda monkeypatch, name: monkeypatch.setattr(owner, attribute, value)


def frozen_at(value, *parts):
    """All parameters of these parts, or of all, are one number and stay it."""

    def change(net):
        for part in [getattr(net, part) for part in parts] or [net]:
            for parameter in part.parameters():
                nn.init.constant_(parameter, value).requires_grad_(False)

    return change


def number(parameter, value):
    """One parameter, named by its path, is this number."""
    return lambda net: nn.init.constant_(net.get_parameter(parameter), value)


def shaken(optimizer, loss):
    step(optimizer, loss)
    with torch.no_grad():
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            parameter += torch.randn_like(parameter)


def best_never_kept(monkeypatch, name):
    monkeypatch.setattr(module_of(name).EarlyStopping, "stop", lambda self, loss, error=0.0: False)


def one_row(monkeypatch, name):
    module = module_of(name)
    by = next(way for way in ("passes", "minibatches") if hasattr(module, way))
    monkeypatch.setattr(module, by, lambda rows, *settings: [rows[:1]])


ZERO = (None, {"epochs": 0})
NO_STEP = (stepping(lambda optimizer, loss: optimizer.step()), {})  # as a known library had it: no backward pass
UPSIDE_DOWN = (stepping(lambda optimizer, loss: step(optimizer, -loss)), {})
SHAKEN = (stepping(shaken), {})
NEVER_KEPT = (best_never_kept, {})
ONE_ROW = (one_row, {})
NAN = float("nan")
MIXED = reading(lambda x: x.mean(0, keepdim=True).expand_as(x))
SHUFFLED = (reading(lambda x: x[torch.randperm(len(x))]), {})
DROWNED = (reading(lambda x: x + 100 * torch.randn_like(x)), {})


# --- how one of them is broken ----------------------------------------------------------------------------------------


def biased(monkeypatch, name):
    monkeypatch.setattr(svdd_networks, "trunk", lambda c, b, w, bias: resnet.trunk(c, b, w, bias=True))
    monkeypatch.setattr(resnet.nn.init, "zeros_", lambda bias: bias.data.fill_(0.1))


def last_layer_with_bias(net):
    net.out = nn.Linear(net.out.in_features, net.out.out_features)


def centre(change):
    return replacing(one_class, "centre_of", lambda found: change(centre_of(found)).astype("float32"))


def first_zero(found):
    found[0] = 0
    return found


def dead_latent(net):
    nn.init.zeros_(net.moments.weight)
    net.moments.weight.requires_grad_(False)


def three_units(monkeypatch, name):
    encode = Vae.encode

    def broken(self, x):
        mean, log_variance = encode(self, x)
        mask = torch.zeros_like(mean)
        mask[:, 0, 0, :3] = 1
        return mean * mask, log_variance

    monkeypatch.setattr(Vae, "encode", broken)


DEAF = replacing(Vae, "decode", lambda self, z: self.up(self.into(0 * z)))
CONSTANT = replacing(Vae, "decode", lambda self, z: 0 * self.up(self.into(z)))


def views(change):
    """Augmentations followed by ``change(view, draw)``."""
    view = Augmentation.__call__
    return replacing(Augmentation, "__call__", lambda self, x, draw: change(view(self, x, draw), draw))


def records_swapped(monkeypatch, name):
    view = Augmentation.__call__
    swapped = lambda self, x, draw: view(self, x[torch.randperm(len(x), generator=draw)], draw)  # noqa: E731
    monkeypatch.setattr(Augmentation, "__call__", swapped)


def losses_negated(monkeypatch, name):
    monkeypatch.setattr(pretext, "nt_xent", lambda *given: -nt_xent(*given))
    monkeypatch.setattr(training, "moco", lambda *given: -moco(*given))


def only_biases(net):
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("bias" in name)


def mixed_as_in_the_reference(net, forward, x):
    code = net.encoder[1](net.encoder[0](x)[0])[1][0][-1]
    code = code.repeat(x.shape[1], 1).reshape(len(x), x.shape[1], -1)
    return net.out(net.decoder[1](net.decoder[0](code)[0])[0])


CODE = CONTRASTIVE["code"]
BROKEN = {
    "deep_svdd": {
        "zero epochs": ZERO,
        "no step": NO_STEP,
        "pushed away": UPSIDE_DOWN,
        "learning rate 10": (None, {"lr": 10.0}),
        "learning rate 3, soft": (None, {"lr": 3.0, "objective": "soft"}),
        "learning rate 1": (None, {"lr": 1.0}),
        "learning rate next to 0": (None, {"lr": 1e-9}),
        "weight decay 10": (None, {"weight_decay": 10.0, "epochs": 40, "lr": 0.01}),
        "bias on": (biased, {}),
        "bias in the last layer": (built(last_layer_with_bias), {}),
        "a weight that is no number": (built(number("out.weight", NAN)), {}),
        "centre 0": (centre(lambda found: 0 * found), {}),
        "one centre coordinate 0": (centre(first_zero), {}),
        "centre far away": (centre(lambda found: found + 1e4), {}),
        "the same code for all": (reading(torch.ones_like), {}),
        "nothing reaches the network": (reading(lambda x: 0 * x), {}),
        "records mixed": (MIXED, {}),
        "codes of signs": (giving(torch.sign), {}),
        "saturated codes": (giving(lambda code: torch.tanh(1000 * code)), {}),
        "dead last layer": (
            replacing(svdd_networks, "start", lambda layer: nn.init.zeros_(layer.weight)),
            {"epochs": 1},
        ),
        "codes of one direction": (
            replacing(svdd_networks, "start", lambda layer: nn.init.constant_(layer.weight, 0.05)),
            {"epochs": 1, "lr": 1e-5},
        ),
    },
    "hetero_vae": {
        "zero epochs": ZERO,
        "no step": NO_STEP,
        "upside down": UPSIDE_DOWN,
        "weights shaken after every step": SHAKEN,
        "best weights never kept": NEVER_KEPT,
        "one row alone": ONE_ROW,
        "learning rate 10": (None, {"lr": 10.0}),
        "learning rate 1": (None, {"lr": 1.0}),
        "learning rate next to 0": (None, {"lr": 1e-9}),
        "a weight that is no number": (built(number("into.bias", NAN)), {}),
        "images mixed": (MIXED, {}),
        "images shuffled": SHUFFLED,
        "drowned in noise": DROWNED,
        "beta 100": (None, {"beta": 100.0, "warm_up": 0}),
        "dead latent": (built(dead_latent), {}),
        "deaf decoder": (DEAF, {}),
        "deaf decoder, strong prior": (DEAF, {"beta": 0.1}),
        "constant output": (CONSTANT, {}),
        "constant output, strong prior": (CONSTANT, {"beta": 0.1}),
        "three units": (three_units, {}),
    },
    "tadgan": {
        "zero epochs": ZERO,
        "no step": NO_STEP,
        "upside down": UPSIDE_DOWN,
        "weights shaken after every step": SHAKEN,
        "best weights never kept": NEVER_KEPT,
        "learning rate next to 0": (None, {"lr": 1e-9, "epochs": 2}),
        "learning rate 10": (None, {"lr": 10.0}),
        "a weight that is no number": (built(number("into.bias", NAN), gan.Generator), {}),
        "records mixed": (MIXED, {}),
        "latents of other records": SHUFFLED,
        "drowned in noise": DROWNED,
        "no cycle": (None, {"cycle": 0.0}),
        "makers hardly step": (None, {"critic_steps": 50, "epochs": 2}),
        "makers never step": (replacing(TadGan, "_maker_step", lambda *_: None), {}),
        "latent 0": (giving(lambda z: 0 * z), {}),
        "constant output": (reading(lambda z: 0 * z, gan.Generator), {}),
        "constant generator": (built(frozen_at(0.1), gan.Generator), {}),
        "dead critic": (built(frozen_at(0.0), gan.ConvCritic), {}),
        "steep critic": (built(frozen_at(1.0), gan.ConvCritic), {}),
        "critic of the level alone": (
            passing(lambda net, value, x: value(0.01 * x) / 1e3, gan.ConvCritic),
            {},
        ),
    },
    "contrastive": {
        "zero epochs": ZERO,
        "no step": NO_STEP,
        "upside down": (losses_negated, {}),
        "best weights never kept": NEVER_KEPT,
        "learning rate next to 0": (None, {"lr": 1e-9, "epochs": 2}),
        "learning rate of a millionth": (None, {"lr": 1e-6, "epochs": 2}),
        "learning rate 10": (None, {"code": 2, "lr": 10.0, "epochs": 2}),
        "learning rate 1": (None, {"code": 2, "lr": 1.0, "epochs": 2}),
        "temperature 10": (None, {"temperature": 10.0}),
        "records mixed": (MIXED, {"head": "knn"}),
        "saturated codes": (giving(lambda c: torch.tanh(1e4 * c.mean(1, keepdim=True)).expand(-1, CODE)), {}),
        "dead codes": (giving(lambda code: 0 * code), {}),
        "a code that is no number": (giving(lambda code: code * torch.tensor([NAN] + [1.0] * (CODE - 1))), {}),
        "codes of noise": (giving(lambda code: 0 * code + torch.randn(len(code), CODE)), {}),
        "codes of one direction": (giving(lambda code: 5 + code.mean(1, keepdim=True).expand(-1, CODE)), {}),
        "views of constants": (views(lambda view, draw: torch.ones_like(view)), {}),
        "noise alone": (views(lambda view, draw: torch.randn(view.shape, generator=draw)), {}),
        "views drowned in noise": (views(lambda view, draw: view + 100 * torch.randn(view.shape, generator=draw)), {}),
        "silent views": (views(lambda view, draw: 0 * view), {}),
        "views of next to nothing": (
            views(lambda view, draw: view * (torch.rand(view.shape, generator=draw) > 0.98)),
            {},
        ),
        "positives of another record": (records_swapped, {}),
    },
    "lstm_ae": {
        "zero epochs": ZERO,
        "no step": NO_STEP,
        "upside down": UPSIDE_DOWN,
        "weights shaken after every step": SHAKEN,
        "best weights never kept": NEVER_KEPT,
        "one row alone": ONE_ROW,
        "learning rate 10": (None, {"lr": 10.0}),
        "learning rate 1": (None, {"lr": 1.0}),
        "learning rate next to 0": (None, {"lr": 1e-9, "epochs": 3}),
        "learning rate of a millionth": (None, {"lr": 1e-6, "epochs": 5}),
        "a weight that is no number": (built(frozen_at(NAN, "out")), {}),
        "records mixed": (MIXED, {}),
        "targets shuffled": SHUFFLED,
        "drowned in noise": DROWNED,
        "only biases learn": (built(only_biases), {}),
        "constant encoder": (built(frozen_at(0.1, "encoder")), {}),
        "constant decoder": (built(frozen_at(0.1, "decoder")), {}),
        "dead last layer": (built(frozen_at(0.0, "out")), {}),
        "code 0": (reading(lambda x: 0 * x), {}),
        "codes of other records, as in the reference": (passing(mixed_as_in_the_reference), {}),
        "read backwards once trained": (passing(lambda net, forward, x: forward(x if net.training else x.flip(1))), {}),
    },
}
BASE = {"tadgan": {"epochs": 4}, "contrastive": {"shift": 1.0}, "lstm_ae": {"epochs": 12}}
VAES = [{}, {"width": 6, "trim": 0.1, "latent": 3}]
EACH = {"hetero_vae": VAES, "contrastive": [{"loss": "nt_xent"}, {"loss": "moco"}]}


def broken():
    for name, table in BROKEN.items():
        for label, (breakage, settings) in table.items():
            for kind in EACH.get(name, [{}]):
                yield pytest.param(
                    name, breakage, BASE.get(name, {}) | kind | settings, id=f"{name}-{label}{told(kind)}"
                )


def told(settings):
    return "".join(f"-{key}={value}" for key, value in settings.items())


def rows(name):
    """The rows of the task; fewer for the LSTM, which is slow."""
    return task(name).fit[:200] if name == "lstm_ae" else task(name).fit


@pytest.mark.parametrize(("name", "breakage", "settings"), list(broken()))
def test_health_tells_a_network_that_has_not_learned(name, breakage, settings, monkeypatch):
    if breakage:
        breakage(monkeypatch, name)
    try:
        assert task(name).fitted(rows(name), **settings).health()["failed"] == 1
    except NotApplicableError as error:
        assert "training diverged" in error.message or "training collapsed" in error.message


@pytest.mark.parametrize(
    ("name", "label"),
    [("tadgan", label) for label in ("learning rate next to 0", "no step", "makers never step")]
    + [("lstm_ae", label) for label in ("learning rate next to 0", "no step", "upside down")],
)
def test_health_tells_it_where_principal_axes_explain_little_too(name, label, monkeypatch):
    breakage, settings = BROKEN[name][label]
    if breakage:
        breakage(monkeypatch, name)
    x = many_modes().reshape((240, 12, 16) if name == "lstm_ae" else (240, 192))
    health = task(name).fitted(x, **{"epochs": 4, **settings}).health()
    assert health["pca_explained"] < 0.1 and health["failed"] == 1


SOUND = {
    "deep_svdd": (
        [{}, {"width": 6, "code": 16, "lr": 0.002, "pretrain": 1}],
        [
            {"seed": 1},
            {"seed": 2},
            {"pretrain": 2},
            {"objective": "soft"},
            {"objective": "soft", "nu": 0.3},
            {"width": 8},
            {"code": 32},
            {"trim": 0.0},
            {"trim": 0.2, "batch": 32},
            {"weight_decay": 0.0, "epochs": 4},
        ],
    ),
    "hetero_vae": (
        VAES,
        [
            {"seed": 1},
            {"seed": 2},
            {"beta": 0.0},
            {"beta": 0.03},
            {"latent": 4},
            {"width": 8},
            {"trim": 0.0},
            {"trim": 0.2},
            {"batch": 32, "lr": 0.02},
            {"warm_up": 0},
        ],
    ),
    "tadgan": (
        [{}, {"latent": 3}, {"width": 8, "lr": 0.005}, {"trim": 0.0, "pool": "max"}, {"batch": 30, "penalty": 5.0}],
        [
            {"critic": "conv", "error": "point"},
            {"critic": "conv", "error": "area", "combine": "product"},
            {"critic": "transformer", "patch": 8, "error": "point", "combine": "product"},
            {"critic": "transformer", "patch": 8, "error": "area"},
        ],
    ),
    "contrastive": (
        [{}, {"code": 24}, {"width": 8, "lr": 0.003}, {"temperature": 0.5, "trim": 0.0}, {"batch": 40, "lr": 0.004}],
        [
            {"shift": 1.0},
            {"shift": 1.0, "loss": "moco"},
            {"shift": 1.0, "head": "mahalanobis", "shifted": 0.0},
            {"shift": 1.0, "loss": "moco", "head": "knn", "shifted": 4.0},
        ],
    ),
    "lstm_ae": (
        [{}],
        [
            {},
            {"seed": 1},
            {"seed": 2},
            {"code": 3},
            {"code": 4},
            {"code": 8, "seed": 1},
            {"code": 16},
            {"hidden": 16},
            {"hidden": 40},
            {"hidden": 32, "code": 4},
            {"lr": 0.005, "trim": 0.0},
            {"lr": 0.02},
            {"lr": 0.02, "epochs": 20},
            {"trim": 0.0},
            {"trim": 0.1, "batch": 24},
            {"trim": 0.2},
            {"batch": 10},
            {"batch": 32, "lr": 0.02},
            {"patience": 5},
            {"patch": 12},
        ],
    ),
}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param(name, first | second, id=f"{name}{told(first | second)}")
        for name, (firsts, seconds) in SOUND.items()
        for first in firsts
        for second in seconds
    ],
)
def test_health_leaves_a_sound_network_alone(name, settings):
    x = rows(name)
    x = x.reshape(len(x), 1, -1) if "patch" in settings and name == "lstm_ae" else x
    assert task(name).fitted(x, **settings).health()["failed"] == 0
