"""``hetero_cnn``: the encoder of a fitted detector with a head for classes, unfrozen from the last stage on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from vibro import hookimpl
from vibro.api import Classifier, NotApplicableError, NotFittedError, Params, State
from vibro_plugins.deep.images import PICTURE, Pixels, placed
from vibro_plugins.deep.resnet import start, trunk
from vibro_plugins.deep.training import arrays, load_arrays, scored, seeded, step
from vibro_plugins.stats.columns import evenly_spaced

PLACES = 4  # of the map, along each axis, that the head sees
SAMPLE = 512  # rows that pixels are standardised by, without a detector
FEWEST = 5  # real labels of every class, for some to choose the epoch by
HELD = 0.2  # share of them
MOST = 1024  # rows of an epoch
SLOWER = (1.0, 0.1, 0.03)  # learning rate of the head, of the last stage, of the others


@dataclass(frozen=True)
class HeteroCnnParams(Params):
    """Settings of ``hetero_cnn``.

    ``backbone``, ``width``: as of ``deep_svdd``; unused where the encoder is a detector's
    ``head``: epochs of the head alone, the encoder frozen
    ``unfreeze``: stages of the encoder that learn too, one after another, the last one first
    ``epochs``: epochs after each stage is unfrozen
    ``batch``: rows of a step
    ``lr``: learning rate of the head; the last stage has a tenth of it, others a thirtieth
    ``weight_decay``: of AdamW
    """

    backbone: Literal["small", "resnet18"] = "small"
    width: Annotated[int, Field(ge=2, le=128)] = 16
    head: Annotated[int, Field(ge=1, le=1000)] = 12
    unfreeze: Annotated[int, Field(ge=0, le=4)] = 2
    epochs: Annotated[int, Field(ge=0, le=1000)] = 6
    batch: Annotated[int, Field(ge=2, le=4096)] = 32
    lr: Annotated[float, Field(gt=0, le=1)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 1e-2


class Net(nn.Module):
    """A trunk in named stages, its map pooled to 4 x 4 places, and a linear head."""

    def __init__(self, channels: int, backbone: str, width: int, bias: bool, classes: int) -> None:
        super().__init__()
        self.trunk, features, _ = trunk(channels, backbone, width, bias)
        self.head = nn.Linear(features * PLACES * PLACES, classes)
        start(self.head)
        small = backbone == "small"
        first, blocks, stages = (2, 1, 3) if small else (3, 2, 4)
        self.stages = {"stem": range(first)}
        for s in range(stages):
            self.stages[f"stage{s + 1}"] = range(first + s * blocks, first + (s + 1) * blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, classes) logits."""
        return self.head(F.adaptive_avg_pool2d(self.trunk(x), PLACES).flatten(1))

    def thaw(self, count: int) -> list[list[nn.Parameter]]:
        """Lets the head and the last ``count`` stages learn; their parameters, head first. The others are frozen: no
        gradient, and in eval mode, so that no statistic of a batch moves them either.
        """
        self.train()
        self.trunk.requires_grad_(False).eval()
        groups = [list(self.head.parameters())]
        for name in list(self.stages)[::-1][:count]:
            layers = [self.trunk[i] for i in self.stages[name]]
            for layer in layers:
                layer.requires_grad_(True).train()
            groups.append([p for layer in layers for p in layer.parameters()])
        return groups


class HeteroCnn(Classifier):
    """Softmax over a head on the encoder of ``deep_svdd``, ``deep_sad`` or ``hetero_vae``, fitted without labels.

    At first the head alone learns on the frozen encoder, then the last stages too, one after another, each time with a new
    optimiser, smaller rates for what is older, and half a cosine (Howard and Ruder, ACL 2018). Rows are drawn by their
    weight, which balances the classes and lets pseudo-labels be drawn less often. Of real labels, those of the highest
    weight in a class, a fifth is held out with their groups, and the weights of the epoch with the best macro F1 on them are
    kept; with fewer than five in some class, those of the last epoch.
    """

    name = "hetero_cnn"
    summary = "encoder of a fitted network with a head, unfrozen step by step"
    Params = HeteroCnnParams
    view: ClassVar[dict[str, Any]] = PICTURE
    item = "c h w"
    starts_from = ("deep_svdd", "deep_sad", "hetero_vae")
    requires = ("torch",)
    deterministic = False
    seconds = 20.0
    test_settings: ClassVar[dict[str, Any]] = {"width": 4, "head": 8, "epochs": 3, "lr": 0.01}

    _begin: State | None = None
    _net: Net | None = None
    _pixels: Pixels
    _curves: dict[str, list[float]]

    def start(self, state: State) -> None:
        """Takes over trunk and standardisation of a detector on pictures."""
        if "net.trunk.0.weight" not in state or "pixels.centre" not in state:
            raise NotApplicableError("the detector holds no encoder of pictures")
        self._begin = {k: v for k, v in state.items() if k.startswith(("net.trunk.", "pixels."))}

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16], weight: NDArray[np.float32]) -> None:
        """Learns from images (n, c, h, w), read a batch at a time."""
        p, rng = self.params, self.ctx.rng()
        begin = self._begin
        self._pixels = Pixels.fit(x[evenly_spaced(len(x), SAMPLE)]) if begin is None else Pixels.load(begin)
        used = np.flatnonzero(weight > 0)
        held = self._held_out(y, weight, rng)
        rows = np.setdiff1d(used, held)
        share = weight[rows].astype(np.float64) / weight[rows].sum(dtype=np.float64)
        classes = int(y[used].max()) + 1
        self._curves = {"loss": [], "macro_f1": []}
        best: tuple[float, State] = (-1.0, {})
        with seeded(self.ctx):
            net = self._build(classes, begin)
            if begin is not None:
                load_arrays(net.trunk, begin, "net.trunk.")
            self._net = net
            for groups, epochs in self._phases(net):
                options = [{"params": g, "lr": p.lr * SLOWER[min(i, 2)]} for i, g in enumerate(groups)]
                optimizer = torch.optim.AdamW(options, weight_decay=p.weight_decay)
                schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs))
                for _ in range(epochs):
                    self._curves["loss"].append(self._epoch(net, optimizer, x, y, rows, share, rng))
                    schedule.step()
                    if len(held):
                        f1 = macro_f1(y[held], self._logits(x[held]).argmax(axis=1), classes)
                        self._curves["macro_f1"].append(f1)
                        best = max(best, (f1, arrays(net)), key=lambda pair: pair[0])
            if best[1]:
                load_arrays(net, best[1])
            net.requires_grad_(False).eval()

    def predict_proba(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, classes)."""
        logits = self._logits(x)
        q = np.exp(logits - logits.max(axis=1, keepdims=True))
        return q / q.sum(axis=1, keepdims=True)

    def curves(self) -> Mapping[str, Sequence[float]]:
        """Loss of each epoch, and macro F1 on real labels that were held out."""
        return self._curves

    def state(self) -> State:
        """Weights and standardisation."""
        if self._net is None:
            raise NotFittedError("hetero_cnn is not fitted")
        return {**arrays(self._net), **self._pixels.state()}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._pixels, self._curves = Pixels.load(state), {}
        with seeded(self.ctx):
            self._net = self._build(len(state["net.head.bias"]), state)
        load_arrays(self._net, state)
        self._net.requires_grad_(False).eval()

    def _build(self, classes: int, state: State | None) -> Net:
        """A network of the shape of a state's, or of the settings."""
        p = self.params
        backbone, width, bias = p.backbone, p.width, True
        if state is not None:
            backbone = "small" if state["net.trunk.0.weight"].shape[-1] == 3 else "resnet18"
            width, bias = len(state["net.trunk.0.weight"]), "net.trunk.0.bias" in state
        return placed(Net(len(self._pixels.centre), backbone, width, bias, classes), self.ctx.device)

    def _phases(self, net: Net) -> Iterator[tuple[list[list[nn.Parameter]], int]]:
        """What learns in each phase, and for how many epochs."""
        yield net.thaw(0), self.params.head
        for count in range(1, min(self.params.unfreeze, len(net.stages)) + 1):
            yield net.thaw(count), self.params.epochs

    def _epoch(
        self,
        net: Net,
        optimizer: torch.optim.Optimizer,
        x: NDArray[np.float32],
        y: NDArray[np.int16],
        rows: NDArray[np.intp],
        share: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> float:
        """Batches drawn by weight, as many as one pass takes; the mean loss."""
        size = min(self.params.batch, max(2, len(rows)))
        losses = []
        for _ in range(-(-min(len(rows), MOST) // size)):
            part = np.sort(rng.choice(rows, size, p=share))
            logits = net(self._pixels.tensor(x[part], self.ctx.device))
            loss = F.cross_entropy(logits, torch.tensor(y[part].astype(np.int64), device=self.ctx.device))
            step(optimizer, loss, clip=1.0)
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def _held_out(
        self, y: NDArray[np.int16], weight: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.intp]:
        """Real labels to choose the epoch by: whole groups, a fifth of each class; none where a class has too few."""
        group = np.arange(len(y)) if self.ctx.groups is None else self.ctx.groups
        held: list[NDArray[np.intp]] = []
        for c in np.unique(y[weight > 0]):
            mine = np.flatnonzero((y == c) & (weight > 0))
            real = mine[weight[mine] >= weight[mine].max() * (1 - 1e-6)]
            if len(real) < FEWEST:
                return np.zeros(0, np.intp)
            own = group[real] if len(np.unique(group[real])) > 1 else real
            names = rng.permutation(np.unique(own))
            size = np.cumsum([(own == name).sum() for name in names])
            count = min(int(np.searchsorted(size, HELD * len(real))) + 1, len(names) - 1)
            held.append(real[np.isin(own, names[:count])])
        return np.concatenate(held)

    def _logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        if self._net is None:
            raise NotFittedError("hetero_cnn is not fitted")
        return scored(self._net, x, self._net, lambda rows: self._pixels.tensor(rows, self.ctx.device))


def macro_f1(y: NDArray[np.int16], predicted: NDArray[np.intp], classes: int) -> float:
    """The mean F1 of the classes."""
    right = np.bincount(y[y == predicted], minlength=classes)
    size = np.bincount(y, minlength=classes) + np.bincount(predicted, minlength=classes)
    return float(np.mean(2 * right / np.maximum(size, 1)))


@hookimpl
def register_classifiers(register: Callable[[type[Classifier]], None]) -> None:
    """Offers ``hetero_cnn``."""
    register(HeteroCnn)
