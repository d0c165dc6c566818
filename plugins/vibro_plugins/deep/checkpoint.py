"""Checkpointed epochs: all that changes from one epoch to the next is kept as plain arrays, so a killed training resumes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from vibro.api import Context, State
from vibro_plugins.deep.training import arrays, load_arrays

Arrays = dict[str, NDArray[Any]]
BLOCK = 1024  # rows hashed at a time
WORD = (1 << 64) - 1


class Stateful(Protocol):
    """Any other object that changes during a training."""

    def state(self) -> State:
        """Its state as arrays."""
        ...

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        ...


Part = nn.Module | Optimizer | np.random.Generator | torch.Generator | Stateful


class Epochs:
    """The epochs of one training: ``for epoch in Epochs(...)`` resumes after the last one that an earlier process finished.

    ``parts`` are all objects that change from epoch to epoch: networks, optimisers, generators, and ``Stateful`` ones;
    ``numbers`` are those that the loop itself changes. Torch's global generators are kept too. Constructing the object
    restores all of them; ``done`` counts the finished epochs. After each epoch the learning rate of ``optimizer`` follows
    half a cosine down to ``floor`` times its start (Loshchilov and Hutter, ICLR 2017), the checkpoint in ``ctx.scratch`` is
    replaced atomically, and progress is reported: ``before`` and ``after`` are the epochs of other phases. A checkpoint that
    is damaged or was written for other rows, settings, seed or code (``key_of``) is ignored. Without a scratch folder
    nothing is written.
    """

    def __init__(
        self,
        ctx: Context,
        total: int,
        key: str,
        optimizer: Optimizer,
        floor: float | None = None,
        *,
        name: str = "train",
        before: int = 0,
        after: int = 0,
        numbers: Mapping[str, float] | None = None,
        **parts: Part,
    ) -> None:
        self.ctx, self.total, self.key = ctx, total, key
        self.before, self.all = before, before + total + after
        self.parts: dict[str, Part] = {"optimizer": optimizer, **parts}
        self.numbers = dict(numbers or {})
        self.file = None if ctx.scratch is None else ctx.scratch / f"{name}.npz"
        self.schedule = None
        if floor is not None:
            lr = optimizer.param_groups[0]["lr"]
            self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(total, 1), lr * floor)
        self.done = self._resume()

    def __iter__(self) -> Iterator[int]:
        for epoch in range(self.done, self.total):
            yield epoch
            if self.schedule is not None:
                self.schedule.step()
            self._save(epoch + 1)
            self.ctx.progress(self.before + epoch + 1, self.all)

    def _save(self, done: int) -> None:
        if self.file is None:
            return
        kept = {"key": np.array(self.key), "done": np.array(done), **_global_generators(self.ctx.device)}
        kept |= {f"number/{name}": np.array(value) for name, value in self.numbers.items()}
        for name, part in self.parts.items():
            kept |= {f"{name}/{inner}": value for inner, value in arrays_of(part).items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        building = self.file.with_suffix(".tmp")
        with building.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **kept)
        building.replace(self.file)

    def _resume(self) -> int:
        """Restores the parts from a checkpoint; how many epochs are done."""
        kept = None if self.file is None else _read(self.file)
        if kept is None or str(kept.get("key")) != self.key:
            return 0
        for name, part in self.parts.items():
            put_back(part, {key[len(name) + 1 :]: value for key, value in kept.items() if key.startswith(f"{name}/")})
        self.numbers = {name: float(kept[f"number/{name}"]) for name in self.numbers}
        _set_global_generators(self.ctx.device, kept)
        if self.schedule is not None:
            self.schedule.last_epoch = int(kept["done"])
        return int(kept["done"])


def key_of(name: str, settings: object, ctx: Context, x: NDArray[Any], labels: NDArray[Any] | None = None) -> str:
    """Hash of all that a training depends on: detector, settings, seed, device, torch, code, rows, groups, labels, copies."""
    digest = sha256(repr((name, settings, ctx.seed, ctx.device, torch.__version__, _code(), x.shape)).encode())
    for start in range(0, len(x), BLOCK):
        digest.update(np.ascontiguousarray(x[start : start + BLOCK]).tobytes())
    copies = (None, None) if ctx.disturbed is None else (ctx.disturbed.row, ctx.disturbed.x)
    for given in (labels, ctx.groups, *copies):
        digest.update(b"-" if given is None else np.ascontiguousarray(given).ravel().data)
    return digest.hexdigest()


@cache
def _code() -> str:
    """Hash of the sources of this package."""
    digest = sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def arrays_of(part: Part) -> State:
    """The state of a part of a training as arrays."""
    if isinstance(part, nn.Module):
        return arrays(part, "")
    if isinstance(part, Optimizer):
        return _optimizer_arrays(part)
    if isinstance(part, torch.Generator):
        return {"state": part.get_state().numpy()}
    if isinstance(part, np.random.Generator):
        found = part.bit_generator.state
        numbers = [found["state"]["state"], found["state"]["inc"]]
        words = [word for number in numbers for word in (number >> 64, number & WORD)]
        return {"words": np.array([*words, found["has_uint32"], found["uinteger"]], np.uint64)}
    return part.state()


def put_back(part: Part, state: State) -> None:
    """Restores a part from what ``arrays_of`` gave."""
    if isinstance(part, nn.Module):
        load_arrays(part, state, "")
    elif isinstance(part, Optimizer):
        _load_optimizer(part, state)
    elif isinstance(part, torch.Generator):
        part.set_state(torch.tensor(state["state"]))
    elif isinstance(part, np.random.Generator):
        a, b, c, d, has, rest = (int(word) for word in state["words"])
        inner = {"state": a << 64 | b, "inc": c << 64 | d}
        part.bit_generator.state = {"bit_generator": "PCG64", "state": inner, "has_uint32": has, "uinteger": rest}
    else:
        part.load_state(state)


def _optimizer_arrays(optimizer: Optimizer) -> Arrays:
    found = {f"lr.{j}": np.array(group["lr"]) for j, group in enumerate(optimizer.param_groups)}
    for i, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            found[f"{i}.{name}"] = value.detach().cpu().numpy().copy()
    return found


def _load_optimizer(optimizer: Optimizer, state: State) -> None:
    for j, group in enumerate(optimizer.param_groups):
        group["lr"] = float(state[f"lr.{j}"])
    parameters = _parameters(optimizer)
    for key, value in state.items():
        place, _, name = key.partition(".")
        if place == "lr":
            continue
        parameter, given = parameters[int(place)], torch.tensor(value)
        moment = given.shape == parameter.shape and name != "step"
        optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(given) if moment else given


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _global_generators(device: str) -> Arrays:
    found = {"torch": torch.get_rng_state().numpy()}
    return found if device == "cpu" else {**found, "cuda": torch.cuda.get_rng_state(device).numpy()}


def _set_global_generators(device: str, kept: Arrays) -> None:
    torch.set_rng_state(torch.tensor(kept["torch"]))
    if device != "cpu":
        torch.cuda.set_rng_state(torch.tensor(kept["cuda"]), device)


def _read(file: Path) -> Arrays | None:
    """The arrays of a file; None if there is none or it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
