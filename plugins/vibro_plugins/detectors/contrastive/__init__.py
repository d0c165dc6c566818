"""Contrastive learning: an encoder trained to ignore what may change in a normal record, and a head that scores its codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Generator, Tensor, nn

from vibro import hookimpl
from vibro.api import Detector, Exported, NotApplicableError, Params, State
from vibro_plugins.deep.attribution import integrated_gradients
from vibro_plugins.deep.channels import Channels
from vibro_plugins.deep.detector import Network, require_trainable, split
from vibro_plugins.deep.diagnostics import effective_rank, separation
from vibro_plugins.deep.early_stopping import EarlyStopping
from vibro_plugins.deep.exposure import LEAST_SEPARATION, Examples, exposed
from vibro_plugins.deep.graph import onnx_graph
from vibro_plugins.deep.images import PICTURE
from vibro_plugins.deep.sampling import Trimming, nearest, passes
from vibro_plugins.deep.standardise import BLOCK, floor_scale, mean_squares, medians
from vibro_plugins.deep.training import as_tensor, exact, mixed, scored, seeded, step
from vibro_plugins.deep.windows import MOST_SAMPLES, cut, put_back, windows_of
from vibro_plugins.detectors.contrastive.augment import Augmentation, edited
from vibro_plugins.detectors.contrastive.heads import Head, fit_head, head_of
from vibro_plugins.detectors.contrastive.losses import Queue, alignment, moco, nt_xent, rank_one, uniformity
from vibro_plugins.detectors.contrastive.networks import encoder, projection
from vibro_plugins.portable import network_scores
from vibro_plugins.stats.columns import evenly_spaced, in_blocks
from vibro_plugins.stats.neighbours import Neighbours

LEAST_LENGTH = 4  # values of a line or pixels of the shorter side
LIMIT = 20.0  # standardised values are clipped here
MASK = 0.05  # longest gap in a record, a share of it
STEPS = 25  # optimiser steps of an epoch at least: few rows are passed more than once
WARM_UP, TRIM_EVERY = 5, 5  # epochs before the first trimming, and between two
LEAST_GAIN = 0.05  # of a sound fit: relative fall of the loss,
LEAST_RANK, UNIFORM = 1.5, -0.2  # effective rank (low: records of few kinds have codes of few dimensions), uniformity,
LEAST_FOUND = 0.1  # and share of windows that are recognised in another view
SAMPLE = 512  # windows that the diagnostics use
SLOPE_STEP = 1e-3  # of the mean size of a code's values, for the slope of the head


@dataclass(frozen=True)
class ContrastiveParams(Params):
    """Settings of ``contrastive``.

    ``objective``: edited records as negatives (plain), or disturbed copies of the records and broad examples (exposure)
    ``encoder``: convolutions (cnn); for vectors and records also residual blocks (resnet), a Transformer over patches
    (transformer), or a gated recurrent network over patches (gru)
    ``loss``: NT-Xent, or MoCo with a queue of keys for larger batches of negatives
    ``head``: score of a code; the Mahalanobis distance, since normal codes spread in some directions more than in others
    ``neighbours``: nearest codes of the knn heads
    ``window``: samples of a window; 0: the whole record. The code of a record is the mean over its windows
    ``shift``: largest circular shift of a positive, a share of the last axis; unset: 1 for records, 0 where it may be frequency
    ``noise``: noise added to a positive, in units of the record's own noise floor
    ``gain``: largest relative change of a positive's level; small, since many faults change the level
    ``mask``: longest gap in a positive, a share of the last axis; unset: 0.05 for records, 0 where it may be frequency
    ``shifted``: weight of records edited as by a fault among the negatives; 0: none
    ``width``: channels of the first layer
    ``code``: dimensions of the code; 32 to 128 were tried alike
    ``temperature``: temperature of the softmax; others were tried without gain
    ``momentum``: share of the key encoder's weights kept at a step of MoCo
    ``epochs``: epochs at most, each of 25 steps or more
    ``batch``: windows of a step, and so their negatives
    ``lr``: learning rate of Adam
    ``trim``: share of rows, the farthest from their neighbours, neither trained on nor kept for scoring
    ``patience``: epochs without a lower loss on held-out rows before training stops
    """

    objective: Literal["plain", "exposure"] = "plain"
    encoder: Literal["cnn", "resnet", "transformer", "gru"] = "cnn"
    loss: Literal["nt_xent", "moco"] = "nt_xent"
    head: Literal[
        "knn", "knn_cosine", "centroid", "centroid_cosine", "mahalanobis", "gmm", "kde", "iforest", "ocsvm"
    ] = "mahalanobis"
    neighbours: Annotated[int, Field(ge=1, le=1000)] = 5
    window: Annotated[int, Field(ge=0, le=MOST_SAMPLES)] = 0
    shift: Annotated[float | None, Field(ge=0, le=1)] = None
    noise: Annotated[float, Field(ge=0, le=2)] = 0.5
    gain: Annotated[float, Field(ge=0, le=0.1)] = 0.05
    mask: Annotated[float | None, Field(ge=0, le=0.05)] = None
    shifted: Annotated[float, Field(ge=0, le=1000)] = 1.0
    width: Annotated[int, Field(ge=2, le=256)] = 8
    code: Annotated[int, Field(ge=2, le=1024)] = 128
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.2
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 12
    batch: Annotated[int, Field(ge=4, le=4096)] = 64
    lr: Annotated[float, Field(gt=0, le=10)] = 3e-3
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    patience: Annotated[int, Field(ge=1, le=10_000)] = 10


class Contrastive(Network):
    """score = distance of a record's code from the codes of the fit rows, by the chosen head.

    The encoder learns to recognise a record in an augmented view, among other records and edited copies (shifted instances:
    Tack et al., CSI, NeurIPS 2020), by NT-Xent (Chen et al., SimCLR, ICML 2020) or with a queue of keys (He et al., MoCo,
    CVPR 2020). What an augmentation changes becomes invisible; ``augment`` says what may change. The score uses the
    encoder's output for the unchanged record, without the projection head.

    Instance discrimination spreads normal records over the sphere, so that the distance from their centroid says little:
    mahalanobis measures it in units of their scatter; gmm follows groups of records; knn is the mean distance to the k
    nearest codes. On a view centred for each sensor, as ``per_sensor``, a normal code is short and its direction is noise:
    use the cosine heads for records and images as they are.

    Vectors and records share one kind of encoder, images have another. Values are centred one by one (by channel where
    records start anywhere) and share one scale per channel. A tenth of the rows is held out: training stops when their loss
    no longer falls, and the best weights are kept. After five epochs the rows farthest from their neighbours are trimmed,
    chosen again every fifth epoch.
    """

    name = "contrastive"
    summary = "contrastive encoder with edited records as negatives; distance of its codes"
    Params = ContrastiveParams
    view: ClassVar[dict[str, Any]] = PICTURE
    requires = ("torch", "sklearn")
    seconds = 6.0
    test_settings: ClassVar[dict[str, Any]] = {"width": 4, "code": 16, "epochs": 3, "batch": 16, "lr": 0.005}

    _wave: bool  # rows are records, not vectors or images
    _channels: Channels | None  # of vectors, with exposure
    _centre: NDArray[np.float32]  # (channels, length) or (channels, h, w) as the network sees them
    _scale: NDArray[np.float32]  # (channels, 1, ...)
    _varies: Tensor  # 1 where the fit rows differ; used in training only
    _head: Head

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from vectors (n, values), records (n, channels, samples) or images (n, channels, h, w)."""
        p = self.params
        sides = x.shape[2:] if x.ndim == 4 else x.shape[-1:]
        if not 2 <= x.ndim <= 4 or min(sides) < LEAST_LENGTH:
            raise NotApplicableError(
                f"the view has rows of shape {x.shape[1:]}; vectors, records or images (c, h, w)"
                f" of {LEAST_LENGTH} values a side are needed"
            )
        require_trainable(x)
        self._wave = x.ndim == 3
        faults = exposed(self.ctx, x) if p.objective == "exposure" else None
        self._channels = Channels.fit(x) if faults and x.ndim == 2 else None
        windows = self._windows(x, np.arange(len(x)))
        self._centre, self._scale = self._standard(windows)
        if not self._scale.any():
            raise NotApplicableError(f"the view is constant over the {len(x)} fit rows")
        self._varies = as_tensor((windows != windows[:1]).any(axis=0), self.ctx.device)
        rng = self.ctx.rng()
        count = len(windows) // len(x)
        record = np.arange(len(windows)) // count
        holdout, rows = (windows_of(part, count) for part in split(len(x), self.ctx, rng))
        holdout = holdout.reshape(-1, count).T.reshape(-1)  # many records in a block of windows
        sample = windows[evenly_spaced(len(windows), SAMPLE)]
        with seeded(self.ctx):
            net = self._build()
            before = self._mean_loss(net, windows, record, holdout)
            shown = faults and faults.windows(lambda x: self._windows(x, faults.row), count)
            losses = self._train(net, windows, record, rows, holdout, rng, shown)
            gain = 1 - self._mean_loss(net, windows, record, holdout) / before
        codes = self._coded(net, x)
        if not effective_rank(codes):
            raise NotApplicableError("training collapsed: the codes of all fit rows are one, or not finite")
        kept = codes[nearest(self._remoteness(codes), p.trim)]
        self._head = fit_head(p.head, kept, p.neighbours, self.ctx.seed % 2**32)
        health = self._diagnose(net, sample, gain)
        if faults:
            held = np.unique(record[holdout])
            apart = separation(
                self._head.score(codes[held]), self._head.score(self._coded(net, faults.x[faults.of(held)]))
            )
            health |= {"separation": apart, "failed": float(apart < LEAST_SEPARATION)}
        self._set_fitted(net, health, losses, np.unique(record[holdout]))

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        codes = self._coded(self._fitted(), x)
        return self._head.score(codes)

    def attribution(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Integrated gradients of the distance, from the centre of the fit rows on; same shape as x."""
        windows = self._windows(x)
        count = len(windows) // len(x)
        usual = self._tensor(
            self._centre[None] if self._channels is None else self._windows(self._channels.centre[None])
        )
        parts = integrated_gradients(self._fitted(), partial(self._slope, count), self._tensor(windows), usual, count)
        if self._channels is not None:
            return self._channels.by_column(parts, x)
        return put_back(parts, x.shape, parts.shape[2]) if self._wave else parts.reshape(x.shape)

    def _slope(self, count: int, windows: Tensor) -> Tensor:
        """Gradient of the distances of records of so many windows; that of the head by central differences."""
        windows = windows.detach().requires_grad_()
        codes = self._net["encode"](windows).reshape(-1, count, self.params.code).mean(dim=1)
        at = codes.detach().cpu().numpy().astype(np.float64)
        step = SLOPE_STEP * np.eye(at.shape[1]) * max(float(np.abs(at).mean()), 1e-6)
        there, back = (self._head.scorer((at[:, None] + way).reshape(-1, at.shape[1])) for way in (step, -step))
        rise = (there - back).reshape(at.shape) / (2 * step[0, 0])
        return torch.autograd.grad(codes, windows, as_tensor(rise, self.ctx.device))[0]

    def export(self) -> Exported:
        """The encoder as a graph, its input and the distance of its codes with numpy alone; some heads are not exported."""
        head, net = self.params.head, self._fitted()
        functions = {"knn": network_scores.codes_knn, "centroid": network_scores.codes_centroid}
        functions |= {f"{name}_cosine": function for name, function in functions.items()}
        functions["mahalanobis"] = network_scores.codes_mahalanobis
        if head not in functions:
            raise NotApplicableError(f"its head {head} is not exported; {', '.join(functions)} are")
        graph = onnx_graph(net, net["encode"], self._centre.shape)
        return Exported({**self._statistics(), "cosine": np.array(head.endswith("cosine"))}, functions[head], graph)

    def _statistics(self) -> State:
        head = {f"head.{name}": value for name, value in self._head.arrays.items()}
        channels = {} if self._channels is None else self._channels.state()
        return {"centre": self._centre, "scale": self._scale, "wave": np.array(self._wave), **head, **channels}

    def _load_statistics(self, state: State) -> None:
        self._centre, self._scale, self._wave = state["centre"], state["scale"], bool(state["wave"])
        self._channels = Channels.load(state) if "channels.rows" in state else None
        found = {name.removeprefix("head."): value for name, value in state.items() if name.startswith("head.")}
        self._head = head_of(self.params.head, found)

    def _build(self) -> nn.ModuleDict:
        p = self.params
        encode = encoder(p.encoder, self._centre.shape, p.width, p.code, locked=not self._shift)
        return nn.ModuleDict({"encode": encode, "project": projection(p.code)}).to(self.ctx.device)

    def _train(
        self,
        net: nn.ModuleDict,
        windows: NDArray[np.float32],
        record: NDArray[np.intp],
        rows: NDArray[np.intp],
        holdout: NDArray[np.intp],
        rng: np.random.Generator,
        faults: Examples | None,
    ) -> list[float]:
        """Trains on ``rows`` of the windows, whose records are ``record``, until the loss of ``holdout`` no longer falls.

        ``faults``: examples of faults, which take the place of edited records. The losses after each epoch.
        """
        p = self.params
        draw = Generator().manual_seed(self.ctx.seed)
        queue = self._first_queue(net, windows, record, rows) if p.loss == "moco" else None
        optimizer = torch.optim.Adam(net.parameters(), lr=p.lr)
        kept = rows[nearest(self._size(windows)[rows], p.trim)] if faults else None
        stopping, trimming = EarlyStopping(net, p.patience), Trimming(rows, p.trim, WARM_UP, TRIM_EVERY, kept)
        checkpointed = {"net": net, "rng": rng, "draw": draw, "stopping": stopping, "trimming": trimming}
        checkpointed |= {"queue": queue} if queue else {}
        for epoch in self._epochs(windows, p.epochs, optimizer, 1 / 30, **checkpointed):
            trimming.update(epoch, lambda chosen: self._remoteness(self._embedded(net, windows[chosen])))
            for part in passes(trimming.kept, p.batch, STEPS, rng):
                first, second, shifted = self._three(self._tensor(windows[part]), draw)
                if faults:
                    shifted = self._tensor(faults.x[faults.draw(trimming.kept, len(part), rng)])
                with mixed(self.ctx.device):
                    if queue is None:
                        loss = self._nt_xent(net, first, second, shifted, record[part])
                    else:
                        key, others = queue.key(second), None if shifted is None else queue.key(shifted)
                        query = net["project"](net["encode"](first))
                        loss = moco(query, key, queue.others(record[part]), others, p.temperature, p.shifted)
                step(optimizer, loss, clip=1.0)
                if queue is not None:
                    queue.follow(net, key, record[part])
            if stopping.stop(self._mean_loss(net, windows, record, holdout)):
                break
        stopping.restore()
        return stopping.losses

    def _three(self, x: Tensor, draw: Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """Two views of each row and one of an edited copy; values that are constant over the fit rows stay 0.

        An image without a time axis is a folded spectrum: it is edited as one vector, since bands continue on the next line.
        """
        p = self.params
        view = Augmentation(self._shift, p.noise, p.gain, self._in_time(p.mask, MASK))
        first, second = view(x, draw) * self._varies, view(x, draw) * self._varies
        if not p.shifted:
            return first, second, None
        edit = edited(x if self._shift else x.flatten(2), draw, self._wave).reshape(x.shape)
        return first, second, view(edit, draw) * self._varies

    @property
    def _shift(self) -> float:
        """Largest shift along the last axis."""
        return self._in_time(self.params.shift, 1.0)

    def _in_time(self, given: float | None, usual: float) -> float:
        """A setting of the last axis: ``usual`` for records where it is unset; 0 for vectors, which have no time axis."""
        if given is None:
            return usual if self._wave else 0.0
        return given if self._wave or self._centre.ndim == 3 else 0.0

    def _nt_xent(
        self, net: nn.ModuleDict, first: Tensor, second: Tensor, shifted: Tensor | None, record: NDArray[np.intp]
    ) -> Tensor:
        views = [first, second] if shifted is None else [first, second, shifted]
        a, b, *edits = net["project"](net["encode"](torch.cat(views))).split(len(first))
        return nt_xent(a, b, record, edits[0] if edits else None, self.params.temperature, self.params.shifted)

    def _mean_loss(
        self, net: nn.ModuleDict, windows: NDArray[np.float32], record: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> float:
        """NT-Xent of some rows in equal blocks, with the same random numbers at every call."""
        draw, losses = Generator().manual_seed(self.ctx.seed + 1), []
        with torch.no_grad():
            for part in np.array_split(rows, -(-len(rows) // BLOCK)):
                views = self._three(self._tensor(windows[part]), draw)
                losses.append(self._nt_xent(net, *views, record[part]).item())
        return float(np.mean(losses))

    def _first_queue(
        self, net: nn.ModuleDict, windows: NDArray[np.float32], record: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> Queue:
        """A queue of 6 % of the rows, at least a batch; a longer one would hold more keys of the record itself."""
        count = max(int(0.06 * len(rows)), min(self.params.batch, len(rows)))
        chosen = rows[evenly_spaced(len(rows), count)]
        with torch.no_grad():
            keys = net["project"](net["encode"](self._tensor(windows[chosen])))
        return Queue(net, self.params.momentum, keys, record[chosen])

    def _remoteness(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean distance to the neighbours, more of them than are trimmed, so that a cluster of that size stands out too."""
        found = Neighbours(int(self.params.trim * len(codes)) + self.params.neighbours)
        found.store(codes.astype(np.float32))
        parts = np.array_split(codes.astype(np.float32), max(1, len(codes) // 256))
        return np.concatenate([found.query(part)[0].mean(axis=1) for part in parts])

    def _windows(self, x: NDArray[np.float32], own: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """(n, values) -> (n, 1 or 3, values); records cut into (n * windows, channels, window); images as they are.

        ``own``: the fit row that each is, or was made from.
        """
        if self._channels is not None:
            apply = self._channels.apply
            return in_blocks(apply, x) if own is None else apply(x, own)
        if not self._wave:
            return x[:, None] if x.ndim == 2 else x
        length = min(self.params.window, x.shape[2]) or x.shape[2]
        return cut(x, length, length)

    def _standard(self, windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Median of each value, or of each channel of records that start anywhere; the median of the rows' RMS."""
        centre = medians(windows)
        if self._wave and self.params.shift != 0:
            centre = np.array(np.broadcast_to(np.median(centre, axis=1, keepdims=True), centre.shape))
        square = mean_squares(windows, centre, tuple(range(2, windows.ndim)))
        return centre, floor_scale(np.sqrt(np.median(square, axis=0)).reshape(-1, *(1,) * (windows.ndim - 2)))

    def _tensor(self, windows: NDArray[np.float32]) -> Tensor:
        z = (windows.astype(np.float64) - self._centre) * (1 / self._scale)
        return as_tensor(np.clip(z, -LIMIT, LIMIT), self.ctx.device)

    def _size(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Root mean square of the standardised windows (m,): by it rows are trimmed before there is a network."""
        axes = tuple(range(1, windows.ndim))
        return np.sqrt(mean_squares(windows / self._scale, self._centre / self._scale, axes))

    def _coded(self, net: nn.ModuleDict, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, *item) -> codes of the records (n, code), the mean over their windows."""
        windows = self._windows(x)
        return self._embedded(net, windows).reshape(len(x), -1, self.params.code).mean(axis=1)

    def _embedded(self, net: nn.ModuleDict, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Codes (m, code)."""
        return scored(net, windows, net["encode"], self._tensor)

    def _diagnose(self, net: nn.ModuleDict, sample: NDArray[np.float32], gain: float) -> dict[str, float]:
        """``gain``: relative fall of the loss on held-out rows. Of two views of each window of ``sample``: ``alignment`` (0 = the
        same), ``uniformity`` (lower = spread out), ``effective_rank`` of the codes, ``rank_one``: share of windows whose other
        view is the nearest of all.
        """
        draw, codes = Generator().manual_seed(self.ctx.seed + 2), []
        with exact(), torch.no_grad():
            for i in range(0, len(sample), BLOCK):
                views = self._three(self._tensor(sample[i : i + BLOCK]), draw)[:2]
                codes.append([net["encode"](view).cpu().numpy().astype(np.float64) for view in views])
        a, b = (np.concatenate(part) for part in zip(*codes, strict=True))
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return {"gain": gain, "failed": 1.0}
        found = {
            "gain": gain,
            "alignment": alignment(a, b),
            "uniformity": uniformity(a),
            "effective_rank": effective_rank(a),
            "rank_one": rank_one(a, b),
        }
        sound = gain > LEAST_GAIN and found["effective_rank"] > LEAST_RANK and found["uniformity"] < UNIFORM
        return found | {"failed": float(not sound or found["rank_one"] < LEAST_FOUND)}


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``contrastive``."""
    register(Contrastive)
