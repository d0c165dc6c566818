"""The five networks as the tests fit them: rows that each learns in seconds, small settings, and fits that files share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from vibro.api import Context, Detector, Disturbed
from vibro_plugins.detectors.contrastive import Contrastive
from vibro_plugins.detectors.deep_svdd import DeepSvdd
from vibro_plugins.detectors.hetero_vae import HeteroVae
from vibro_plugins.detectors.lstm_ae import LstmAe
from vibro_plugins.detectors.tadgan import TadGan

# --- what all of them are tried on ------------------------------------------------------------------------------------


def images(n, seed, odd=0.0):
    """(n, 1, 8, 20): two patterns of random amplitude and noise; ``odd`` amplitude of a third one."""
    rng = np.random.default_rng(seed)
    h = np.linspace(0, 2 * np.pi, 8, endpoint=False)[:, None]
    w = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    patterns = np.stack([np.sin(h) * np.cos(w), np.cos(h) + 0 * w])
    x = np.einsum("nk,khw->nhw", rng.uniform(-2, 2, (n, 2)), patterns) + 0.3 * rng.standard_normal((n, 8, 20))
    return frozen((x + odd * np.sin(3 * h + 2 * w))[:, None])


def vectors(n, seed, odd=0.0):
    """The same, line after line: (n, 160)."""
    return images(n, seed, odd).reshape(n, -1)


def frozen(x):
    """As float32 that nobody may change."""
    x = x.astype(np.float32)
    x.setflags(write=False)
    return x


NETWORKS: dict[str, tuple[type[Detector], Callable[..., np.ndarray], dict[str, Any]]] = {
    "deep_svdd": (DeepSvdd, images, {"width": 4, "code": 8, "pretrain": 2, "epochs": 5, "batch": 16, "lr": 0.003}),
    "deep_svdd soft": (DeepSvdd, images, {"objective": "soft", "width": 4, "code": 8, "pretrain": 0, "batch": 16}),
    "hetero_vae": (HeteroVae, images, {"width": 4, "latent": 2, "epochs": 9, "warm_up": 1, "batch": 16, "lr": 0.01}),
    "tadgan": (TadGan, vectors, {"width": 4, "epochs": 6, "batch": 8, "lr": 0.01, "critic_steps": 2}),
    "contrastive": (Contrastive, images, {"width": 4, "code": 8, "epochs": 6, "batch": 12, "lr": 0.005}),
    "contrastive moco": (Contrastive, images, {"loss": "moco", "width": 4, "code": 8, "epochs": 4, "batch": 12}),
    "lstm_ae": (LstmAe, vectors, {"patch": 20, "hidden": 16, "code": 4, "epochs": 16, "batch": 8, "lr": 0.02}),
}
FIVE = ("deep_svdd", "hetero_vae", "tadgan", "contrastive", "lstm_ae")


def fitted(name, rows=90, seed=0, ctx=None, y=None, **settings):
    """A network of NETWORKS, fitted to so many rows or to these."""
    cls, make, small = NETWORKS[name]
    detector = cls.make({**small, **settings}, ctx or Context(seed=seed))
    detector.fit(make(rows, 0) if isinstance(rows, int) else rows, y)
    return detector


def module_of(name) -> ModuleType:
    """The module that a network is trained in."""
    cls = NETWORKS[name][0]
    return sys.modules[getattr(cls, "_learn", cls).__module__]


# --- what each of them must learn -------------------------------------------------------------------------------------


def pictures(n, seed, odd=0.0):
    """(n, 1, 16, 24): three patterns of random amplitude and noise; ``odd`` amplitude of a fourth one."""
    rng = np.random.default_rng(seed)
    h = np.linspace(0, 2 * np.pi, 16, endpoint=False)[:, None]
    w = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    patterns = np.stack([np.sin(h) * np.cos(w), np.cos(h) + 0 * w, np.sin(2 * h) * np.sin(w)])
    x = np.einsum("nk,khw->nhw", rng.uniform(-2, 2, (n, 3)), patterns) + 0.3 * rng.standard_normal((n, 16, 24))
    return frozen((x + odd * np.sin(3 * h + 2 * w))[:, None])


def curves():
    """300 calm and 40 odd vectors of 48 values: two smooth modes of random size; in odd ones they stand elsewhere."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    modes = np.stack([np.sin(t), np.cos(2 * t)])
    x = rng.uniform(-2, 2, (340, 2)) @ modes + 0.2 * rng.standard_normal((340, 48))
    x[300:] = np.roll(x[300:], 9, axis=1)
    return frozen(x)


def profiles():
    """260 calm and 40 odd images of three sensors, each with its own profile over the rows; odd: two rows higher."""
    rng = np.random.default_rng(0)

    def some(n, odd):
        """Profile and load, a slow beat, noise."""
        r = np.arange(16)
        profile = 2 * np.stack([np.sin(r / 2), np.cos(r / 3), np.sin(r / 1.3 + 1)])[rng.integers(0, 3, n)]
        beat = np.sin(2 * np.pi * r / 16 + rng.uniform(0, 6.28, (n, 1, 1))) * rng.uniform(-1, 1, (n, 1, 1))
        x = profile[:, :, None] * rng.uniform(0.7, 1.3, (n, 1, 1)) + beat + 0.3 * rng.standard_normal((n, 16, 16))
        x[:, 9:11] += 0.5 * odd
        return x[:, None].astype(np.float32)

    return frozen(np.concatenate([some(260, 0), some(40, 1)]))


def sequences():
    """360 calm and 40 disturbed sequences of 12 steps and 6 values: two modes of random amplitude; faults come steps later."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    modes = np.stack([np.outer(np.sin(t), rng.standard_normal(6)), np.outer(np.cos(2 * t), rng.standard_normal(6))])
    x = np.einsum("nk,ktf->ntf", rng.uniform(-2, 2, (400, 2)), modes) + 0.1 * rng.standard_normal((400, 12, 6))
    x[360:] = np.roll(x[360:], 3, axis=1)
    return frozen(x)


@cache
def many_modes():
    """(240, 192) rows of 40 modes, of which four principal axes explain next to nothing."""
    rng = np.random.default_rng(0)
    x = 10 * rng.standard_normal((240, 40)) @ np.linalg.qr(rng.standard_normal((192, 40)))[0].T
    return frozen(x + 0.05 * rng.standard_normal(x.shape))


@dataclass(frozen=True)
class Task:
    """Rows to fit, others that are as normal, and anomalies; with the settings that learn them."""

    cls: type[Detector]
    small: dict[str, Any]
    fit: np.ndarray
    calm: np.ndarray
    odd: np.ndarray

    def fitted(self, x=None, seed=0, y=None, **settings):
        """The network fitted to the rows of the task or to these."""
        detector = self.cls.make({**self.small, **settings}, Context(seed=seed))
        detector.fit(self.fit if x is None else x, y)
        return detector

    def auc(self, detector):
        """Share of pairs of an anomaly and a normal row, neither fitted on, that are ranked right."""
        return np.mean(detector.score(self.odd)[:, None] > detector.score(self.calm))


SVDD = {"width": 4, "code": 8, "pretrain": 0, "epochs": 8, "batch": 16, "lr": 0.003, "trim": 0.05}
VAE = {"width": 4, "latent": 2, "epochs": 12, "warm_up": 2, "batch": 16, "lr": 0.01, "trim": 0.05}
GAN = {"latent": 4, "width": 4, "batch": 20, "epochs": 6, "lr": 0.01, "critic_steps": 2}
CONTRASTIVE = {"width": 4, "code": 16, "epochs": 6, "batch": 20, "lr": 0.005}
LSTM = {"patch": 0, "hidden": 24, "code": 6, "epochs": 30, "batch": 16, "lr": 0.01}


@cache
def task(name) -> Task:
    """What a network must learn."""
    if name == "deep_svdd":
        return Task(DeepSvdd, SVDD, pictures(128, 0), pictures(80, 1), pictures(80, 2, odd=1.5))
    if name == "hetero_vae":
        return Task(HeteroVae, VAE, pictures(128, 0), pictures(80, 1), pictures(80, 2, odd=1.0))
    if name == "tadgan":
        x = curves()
        return Task(TadGan, GAN, x[:240], x[240:300], x[300:])
    if name == "contrastive":
        x = profiles()
        return Task(Contrastive, CONTRASTIVE, x[:200], x[200:260], x[260:])
    x = sequences()
    return Task(LstmAe, LSTM, x[:300], x[300:360], x[360:])


TRAINED = {"deep_svdd": {"pretrain": 3}, "contrastive": {"shift": 1.0, "head": "gmm"}}


@cache
def trained(name, loss="", untrained=False) -> Detector:
    """The network after its task, one for all tests that only score with it; or its untrained self."""
    settings = TRAINED.get(name, {}) | ({"loss": loss} if loss else {})
    if untrained:
        settings |= {"epochs": 0} | ({"pretrain": 0} if name == "deep_svdd" else {})
    return task(name).fitted(**settings)


# --- disturbed copies -------------------------------------------------------------------------------------------------


def with_copies(x, seed=0, amount=1.5, each=2) -> Context:
    """A context with copies of the rows x: a smooth wave over all their values at a random place is added."""
    rng = np.random.default_rng([seed, 7])
    row = np.repeat(np.arange(len(x)), each)
    size = int(np.prod(x.shape[1:]))
    wave = np.sin(2 * np.pi * (rng.uniform(1, 6, (len(row), 1)) * np.linspace(0, 1, size) + rng.random((len(row), 1))))
    scale = amount * rng.uniform(0.5, 2, (len(row), 1))
    return Context(seed=seed, disturbed=Disturbed(frozen(x[row] + (scale * wave).reshape(-1, *x.shape[1:])), row))
