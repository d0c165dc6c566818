"""Small labelled data for the kit: impulses on a sine, in any item shape, and signals that break careless code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.context import Disturbed

FS = 2048.0
ROWS = 60
_LETTERS = {"c": 1, "t": 16, "f": 24, "h": 32, "w": 32}  # sizes of the letters of an item pattern


@dataclass(frozen=True)
class Easy:
    """Rows that a sound detector can tell apart: ``fit`` and ``x`` are (n, *item) float32, ``y`` is 1 = anomalous."""

    fit: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.int16]
    fs: float = FS


def easy(item: str = "f", *, seed: int = 0, rows: int = ROWS) -> Easy:
    """``rows`` normal rows to fit on and 60 to score, half of them with impulses, in the shape of an item pattern.

    Patterns are those of ``FeatureExtractor.item``: ``...`` and ``c t`` give records, one token a vector of log band
    powers, two tokens a phase-locked sequence, three an image of log magnitudes. Letters get small sizes.
    """
    rng = np.random.default_rng([seed, 1])
    y = np.repeat(np.array([0, 1], np.int16), 30)
    normal, test = np.zeros(rows, np.int16), y
    return Easy(_items(item, normal, rng), _items(item, test, rng), y)


def other(item: str = "f", *, seed: int = 0, rows: int = ROWS) -> NDArray[np.float32]:
    """Rows of another machine (white noise of another level), to fit on instead; (rows, *item) float32."""
    rng = np.random.default_rng([seed, 2])
    return _items(item, np.full(rows, 2, np.int16), rng)


def disturbed(x: NDArray[np.float32], *, seed: int = 0) -> Disturbed:
    """Three copies of each of these rows (n, *item), a random third of their values raised by 1 to 5 of their deviations."""
    rng = np.random.default_rng([seed, 4])
    copies = np.repeat(x, 3, axis=0)
    raised = rng.uniform(1, 5, (len(copies), *(1,) * (x.ndim - 1))) * (rng.random(copies.shape) < 1 / 3)
    added = (x.std(axis=0) * raised).astype(np.float32)
    return Disturbed(copies + added, np.repeat(np.arange(len(x)), 3))


def records(
    kind: NDArray[np.int16], rng: np.random.Generator, *, samples: int = 1024, channels: int = 1, locked: bool = False
) -> NDArray[np.float32]:
    """Records (n, channels, samples) at FS: kind 0 sine and noise, 1 the same with impulses, 2 noise alone."""
    n = len(kind)
    t = np.arange(samples) / FS
    phase = np.zeros((n, channels, 1)) if locked else rng.uniform(0, 2 * np.pi, (n, channels, 1))
    second = rng.uniform(0.25, 0.35, (n, channels, 1))
    sine = np.sin(2 * np.pi * 64 * t + phase) + second * np.sin(2 * np.pi * 128 * t + 2 * phase)
    noise = 0.1 * rng.standard_normal((n, channels, samples))
    ring = np.exp(-np.arange(24) / 6) * np.cos(2 * np.pi * 0.3 * np.arange(24))
    train = np.zeros((n, 1, samples))
    for i in range(n):
        for start in range(int(rng.integers(0, 48)), samples - len(ring), 96):
            train[i, 0, start : start + len(ring)] += rng.uniform(2, 4) * ring
    code = kind[:, None, None]
    x = np.where(code == 2, 8 * noise, sine + noise + np.where(code == 1, train, 0.0))
    return x.astype(np.float32)


def odd_records(samples: int = 1024) -> dict[str, NDArray[np.float32]]:
    """Sixteen legal but odd records by name, each (samples,) float32."""
    rng = np.random.default_rng(3)
    t = np.arange(samples)
    sine = np.sin(2 * np.pi * t / 32)
    spike, late = np.zeros(samples), np.zeros(samples)
    spike[samples // 2] = 1.0
    late[-1] = 5.0
    half = np.where(t < samples // 2, sine, 0.25)
    signals = {
        "constant": np.full(samples, 0.5),
        "zero": np.zeros(samples),
        "one spike": spike,
        "full scale": np.where(t % 2, 1.0, -1.0) * 32767,
        "one bit": np.sign(sine + 0.01 * rng.standard_normal(samples)) * 2.0**-15,
        "stuck half": half,
        "offset 1e6": 1e6 + sine,
        "denormal": 1e-40 * sine,
        "huge 1e30": 1e30 * sine,
        "integers": np.round(100 * sine),
        "clipped": np.clip(3 * sine, -1, 1),
        "pure sine": sine,
        "white noise": rng.standard_normal(samples),
        "silence and impulse": late,
        "ramp": t / samples,
        "tiny 1e-20": 1e-20 * rng.standard_normal(samples),
    }
    return {name: signal.astype(np.float32) for name, signal in signals.items()}


def odd_items(shape: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    """Legal but odd rows of any item shape by name; magnitudes stay below 1e6, as those of a view do."""
    size = int(np.prod(shape))
    out = {}
    for name, signal in odd_records(max(size, 2)).items():
        if np.abs(signal).max() <= 1.1e6:
            out[name] = signal[:size].reshape(shape)
    return out


def item_shape(item: str) -> tuple[int, ...]:
    """The sizes that ``easy`` uses for a pattern."""
    tokens = _tokens(item)
    if _is_record(tokens):
        return (_size(tokens[0]), int(tokens[1]) if tokens[1].isdigit() else 1024)
    return tuple(_size(token) for token in tokens)


def auc(y: NDArray[np.int16], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve: the share of (anomalous, normal) pairs in the right order, ties count half."""
    bad, good = score[y == 1], score[y == 0]
    above = (bad[:, None] > good[None, :]).mean()
    return float(above + 0.5 * (bad[:, None] == good[None, :]).mean())


def _tokens(item: str) -> list[str]:
    return ["c", "t"] if item.strip() in ("...", "") else item.split()


def _is_record(tokens: list[str]) -> bool:
    return len(tokens) == 2 and tokens[0] in ("c", "1") and (tokens[1] == "t" or tokens[1].isdigit())


def _size(token: str) -> int:
    return int(token) if token.isdigit() else _LETTERS.get(token, 24)


def _items(item: str, kind: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.float32]:
    tokens, shape = _tokens(item), item_shape(item)
    if _is_record(tokens):
        return records(kind, rng, channels=shape[0], samples=shape[1])
    if len(shape) == 1:
        return bands(records(kind, rng, samples=max(1024, 4 * shape[0]))[:, 0], shape[0])
    if len(shape) == 2:
        return records(kind, rng, samples=shape[0] * shape[1], locked=True)[:, 0].reshape(len(kind), *shape)
    return _image(kind, rng, shape)


def bands(x: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Log power of records (n, samples) in equal bands, (n, count) float32."""
    power = np.abs(np.fft.rfft(x.astype(np.float64), axis=1))[:, 1:] ** 2 / x.shape[1]
    width = power.shape[1] // count
    mean = power[:, : count * width].reshape(len(x), count, width).mean(axis=2)
    return np.asarray(np.log10(mean + 1e-6), np.float32)


def _image(kind: NDArray[np.int16], rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Log magnitudes over time (w) and frequency (h) in [0, 1], one channel a recording channel; (n, c, h, w)."""
    channels, height, width = shape[0], shape[-2], shape[-1]
    samples = max(1024, 2 * height + 8 * width)
    x = records(kind, rng, channels=channels, samples=samples)
    starts = np.linspace(0, samples - 2 * height, width).astype(int)
    frames = np.stack([x[..., s : s + 2 * height] for s in starts], axis=-1) * np.hanning(2 * height)[:, None]
    magnitude = np.abs(np.fft.rfft(frames, axis=-2))[..., 1 : height + 1, :]
    image = np.clip((np.log10(magnitude + 1e-3) + 3) / 6, 0, 1)
    return np.broadcast_to(image.reshape(len(kind), channels, height, width), (len(kind), *shape)).astype(np.float32)
