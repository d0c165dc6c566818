"""All that a component may know of its run: seed, device, sampling rate, progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vibro.errors import ConfigError

PROGRESS_PERIOD = 0.1  # seconds between two reports of progress
GPU_DRIVERS = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")  # device files of Nvidia's, also in WSL, and of AMD's


def child_seed(seed: int, name: str) -> int:
    """Seed of a named part of a run: it depends on the run's seed and the name, never on a position."""
    return int(np.random.SeedSequence([seed, crc32(name.encode())]).generate_state(1)[0])


def _silent(done: int, total: int) -> None:
    """Default progress: nobody listens."""


def seldom(tell: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """A ``progress`` that tells at most ten times a second, and the end."""
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_PERIOD or done >= total:
            last = now
            tell(done, total)

    return progress


@dataclass(frozen=True)
class Disturbed:
    """Copies of fit rows with a disturbance added to their records, as the view of a detector shows them.

    ``x`` (m, *item) float32, read-only. ``row`` (m,): the fit row that each copy comes from, an index into the rows given
    to ``fit``. A copy of a row that is held out is held out with it.
    """

    x: NDArray[np.float32]
    row: NDArray[np.intp]


@dataclass(frozen=True)
class Context:
    """What a component is told at construction.

    ``fs`` is the sampling rate in Hz. ``names`` holds the names of columns: for a fuser the ids of the detectors that it
    sees, for a feature extractor at work the covariates, for a classifier those whose scores are the last columns of its rows;
    it is empty for every other kind. ``progress(done, total)`` may be called at any time; it does nothing in a worker.
    ``scratch`` is a folder of the component's own, which need not exist yet: what is written there outlives a killed run, is
    found again by ``--resume``, and goes when the run is complete; None where nothing can be kept. ``groups`` (n,), for a
    detector at its fit, numbers what each of its rows belongs to, a recording or a span of a machine's time: rows that are
    held out of a training take their whole group with them; None where nothing is known. ``disturbed``, for a detector that
    ``wants_disturbed`` at its fit: examples of what faults may look like; None where no record could be disturbed.
    """

    seed: int = 0
    device: str = "cpu"
    fs: float = 1.0
    names: tuple[str, ...] = ()
    progress: Callable[[int, int], None] = _silent
    scratch: Path | None = None
    groups: NDArray[np.intp] | None = field(default=None, compare=False, repr=False)
    disturbed: Disturbed | None = field(default=None, compare=False, repr=False)

    def child(self, name: str) -> Context:
        """The same context with the seed and the scratch folder of a named part."""
        folder = None if self.scratch is None else self.scratch / name
        return replace(self, seed=child_seed(self.seed, name), scratch=folder)

    def rng(self) -> np.random.Generator:
        """A fresh generator; two calls give the same stream."""
        return np.random.default_rng(self.seed)


def make_deterministic() -> None:
    """``--deterministic``: torch, where a plugin uses it, takes one thread and deterministic kernels."""
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)


def _may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether torch, which takes seconds and more than 100 MB to load, is worth asking: not on Linux without a GPU's driver."""
    return sys.platform != "linux" or any(entry for name in GPU_DRIVERS for entry in devices.glob(name))


def resolve_device(device: str) -> str:
    """Turns ``auto``, ``cpu``, ``cuda`` or ``cuda:i`` into the device that will be used; ConfigError if there is none."""
    if device == "cpu":
        return "cpu"
    if device != "auto" and not (device == "cuda" or device.startswith("cuda:")):
        raise ConfigError(f"unknown device {device!r}", hint="use --device auto, cpu or cuda[:i]")
    if device == "auto" and not _may_have_gpu():
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        if device == "auto":
            return "cpu"
        raise ConfigError(f"device {device!r} was asked for, but torch sees no GPU", hint="use --device cpu")
    if device in ("auto", "cuda"):
        return "cuda:0"
    try:
        index = int(device.removeprefix("cuda:"))
    except ValueError:
        raise ConfigError(f"unknown device {device!r}", hint="use --device cuda:0") from None
    if not 0 <= index < torch.cuda.device_count():
        raise ConfigError(
            f"device {device!r} does not exist", hint=f"this machine has {torch.cuda.device_count()} GPU(s)"
        )
    return device
