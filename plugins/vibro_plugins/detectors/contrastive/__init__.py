"""Contrastive learning: an encoder that tells records apart by what a fault changes, and a head that scores its codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Generator, Tensor, nn

from vibro import hookimpl
from vibro.api import NotApplicableError, Params, State
from vibro_plugins.deep.detector import Network, refuse, split
from vibro_plugins.deep.diagnostics import effective_rank
from vibro_plugins.deep.early_stopping import Plateau
from vibro_plugins.deep.images import PICTURE
from vibro_plugins.deep.sampling import Trimming, minibatches, nearest
from vibro_plugins.deep.standardise import BLOCK, heard, mean_squares, medians
from vibro_plugins.deep.training import as_tensor, exact, mixed, seeded, step
from vibro_plugins.deep.windows import MOST_SAMPLES, cut, windows_of
from vibro_plugins.detectors.contrastive.augment import Augmentation, edited
from vibro_plugins.detectors.contrastive.heads import Head, fit_head, head_of
from vibro_plugins.detectors.contrastive.losses import Queue, alignment, moco, nt_xent, rank_one, uniformity
from vibro_plugins.detectors.contrastive.networks import encoder, projection
from vibro_plugins.stats.neighbours import Neighbours

LEAST_LENGTH = 4  # values of a line or pixels of the shorter side
LIMIT = 20.0  # standardised values are clipped here
MASK = 0.05  # longest gap in a record, a share of it
STEPS = 25  # fewest an epoch: few rows are gone through more than once
WARM_UP, TRIM_EVERY = 5, 5  # epochs before the first trimming, and between two
LEAST_GAIN = 0.05  # fall of the loss of a sound fit
LEAST_RANK, UNIFORM = 1.5, -0.2  # and its effective rank, low since records of few kinds have codes of few dimensions
LEAST_FOUND = 0.1  # and the share of windows that are known again from another view
SAMPLE = 512  # rows that health looks at


@dataclass(frozen=True)
class ContrastiveParams(Params):
    """``loss``: NT-Xent, or a momentum queue (MoCo) with keys by an encoder that follows at ``momentum``.

    ``head`` scores codes, with ``neighbours`` for knn. Positives differ by ``shift``, the largest circular shift as a share
    of the last axis, by ``noise`` in floors of the record, ``gain`` and ``mask``, the longest gap in it. Only time may be
    shifted or have gaps: where nothing is said, 1 and .05 for records, 0 for vectors and images, whose last axis may be
    frequency. To be set: ``shift`` 0 for records that begin at a fixed phase, both for maps over time. ``shifted``: how many
    times a record edited as by a fault counts as a negative, 0 for none. ``window``: samples, 0 = the whole record, the last
    one ending with it; the code of a record is the mean over its windows, which are no negatives of each other. ``trim``:
    share of rows, the most remote, neither trained on nor kept for scoring.
    """

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

    The encoder learns that two augmented views of one record belong together, against other records and against edited
    copies (shifted instances: Tack et al., CSI, NeurIPS 2020), by NT-Xent (Chen et al., SimCLR, ICML 2020) or by a queue of
    keys (He et al., MoCo, CVPR 2020). What an augmentation changes becomes invisible; ``augment`` says what may. Scored is
    the encoder's output for the record as it is, without the projection that the loss sees.

    Instance discrimination spreads normal records over the sphere, so that the distance from their centroid says least:
    mahalanobis measures it in units of their scatter. Where records fall into groups, the mixture of gmm follows them; knn
    is the mean distance to the k nearest codes. Where a view is centred on each sensor's normal, as ``per_sensor`` is, a
    normal code is short and its direction is noise: cosines are for records and images as they are.

    Lines (vectors, records) and images have encoders of their own. Values are centred by place (by channel where records
    begin anywhere) and share one scale a channel. A tenth of the rows is held out: training stops when their loss no longer
    falls, with the best weights kept. The rows most remote from their neighbours, more of them than a cluster of anomalies
    holds, are not trained on after five epochs, chosen again every fifth, and not kept as neighbours.
    """

    name = "contrastive"
    summary = "contrastive encoder with edited records as negatives; distance of its codes"
    Params = ContrastiveParams
    view: ClassVar[dict[str, Any]] = PICTURE
    requires = ("torch", "sklearn")
    seconds = 20.0
    test_settings: ClassVar[dict[str, Any]] = {"width": 4, "code": 16, "epochs": 3, "batch": 16, "lr": 0.005}

    _wave: bool  # rows are records, not vectors or images
    _centre: NDArray[np.float32]  # (channels, length) or (channels, h, w) as the network sees them
    _scale: NDArray[np.float32]  # (channels, 1, ...)
    _varies: Tensor  # 1 where the fit rows differ; for training alone
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
        refuse(x)
        self._wave = x.ndim == 3
        windows = self._windows(x)
        self._centre, self._scale = self._standard(windows)
        if not self._scale.any():
            raise NotApplicableError(f"the view is constant over the {len(x)} fit rows")
        self._varies = as_tensor((windows != windows[:1]).any(axis=0), self.ctx.device)
        rng = self.ctx.rng()
        count = len(windows) // len(x)
        record = np.arange(len(windows)) // count
        held, rows = (windows_of(part, count) for part in split(len(x), self.ctx, rng))
        held = held.reshape(-1, count).T.reshape(-1)  # many records in a block of windows
        sample = windows[np.linspace(0, len(windows) - 1, min(SAMPLE, len(windows))).astype(int)]
        with seeded(self.ctx):
            net = self._build()
            before = self._mean_loss(net, windows, record, held)
            self._train(net, windows, record, rows, held, rng)
            gain = 1 - self._mean_loss(net, windows, record, held) / before
        codes = self._coded(net, x)
        if not effective_rank(codes):
            raise NotApplicableError("training collapsed: the codes of all fit rows are one, or not finite")
        kept = codes[nearest(self._remoteness(codes), p.trim)]
        self._head = fit_head(p.head, kept, p.neighbours, self.ctx.seed % 2**32)
        self._settle(net, self._examined(net, sample, gain))

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        codes = self._coded(self._fitted(), x)
        return self._head.score(codes)

    def _learned(self) -> State:
        head = {f"head.{name}": value for name, value in self._head.arrays.items()}
        return {"centre": self._centre, "scale": self._scale, "wave": np.array(self._wave), **head}

    def _recall(self, state: State) -> None:
        self._centre, self._scale, self._wave = state["centre"], state["scale"], bool(state["wave"])
        found = {name.removeprefix("head."): value for name, value in state.items() if name.startswith("head.")}
        self._head = head_of(self.params.head, found)

    def _build(self) -> nn.ModuleDict:
        p = self.params
        encode = encoder(self._centre.shape, p.width, p.code, locked=not self._shift)
        return nn.ModuleDict({"encode": encode, "project": projection(p.code)}).to(self.ctx.device)

    def _train(
        self,
        net: nn.ModuleDict,
        windows: NDArray[np.float32],
        record: NDArray[np.intp],
        rows: NDArray[np.intp],
        held: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> None:
        """Epochs of the chosen loss over ``rows`` of the windows, whose records are ``record``, until that of ``held`` rests."""
        p = self.params
        draw = Generator().manual_seed(self.ctx.seed)
        queue = self._first_queue(net, windows, record, rows) if p.loss == "moco" else None
        optimizer = torch.optim.Adam(net.parameters(), lr=p.lr)
        plateau, trimming = Plateau(net, p.patience), Trimming(rows, p.trim, WARM_UP, TRIM_EVERY)
        how = {"net": net, "rng": rng, "draw": draw, "plateau": plateau, "trimming": trimming}
        for epoch in self._epochs(windows, p.epochs, optimizer, 1 / 30, **how, **({"queue": queue} if queue else {})):
            trimming.look(epoch, lambda chosen: self._remoteness(self._embedded(net, windows[chosen])))
            passes = max(1, round(STEPS * p.batch / len(trimming.kept)))
            for part in [part for _ in range(passes) for part in minibatches(trimming.kept, p.batch, rng)]:
                first, second, shifted = self._three(self._tensor(windows[part]), draw)
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
            if plateau.stop(self._mean_loss(net, windows, record, held)):
                break
        plateau.restore()

    def _three(self, x: Tensor, draw: Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """Two views of each row, and one of an edited copy; what fills a picture up, the same in all fit rows, stays blank.

        A picture without time is a folded spectrum: bands and harmonics run on from one of its lines to the next.
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
        """What may be done along the last axis: ``usual`` for records where nothing is given; a vector has no time."""
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
        """NT-Xent of some rows in equal blocks, with the same draws at every look."""
        draw, losses = Generator().manual_seed(self.ctx.seed + 1), []
        with torch.no_grad():
            for part in np.array_split(rows, -(-len(rows) // BLOCK)):
                views = self._three(self._tensor(windows[part]), draw)
                losses.append(self._nt_xent(net, *views, record[part]).item())
        return float(np.mean(losses))

    def _first_queue(
        self, net: nn.ModuleDict, windows: NDArray[np.float32], record: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> Queue:
        """A queue of 6 % of the rows, at least a batch (a longer one would hold a record's own kin)."""
        count = max(int(0.06 * len(rows)), min(self.params.batch, len(rows)))
        chosen = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
        with torch.no_grad():
            keys = net["project"](net["encode"](self._tensor(windows[chosen])))
        return Queue(net, self.params.momentum, keys, record[chosen])

    def _remoteness(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean distance to so many neighbours that a cluster as large as what is trimmed cannot hide in itself."""
        found = Neighbours(int(self.params.trim * len(codes)) + self.params.neighbours)
        found.store(codes.astype(np.float32))
        parts = np.array_split(codes.astype(np.float32), max(1, len(codes) // 256))
        return np.concatenate([found.query(part)[0].mean(axis=1) for part in parts])

    def _windows(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, values) -> (n, 1, values); records cut into (n * windows, channels, window); images as they are."""
        if not self._wave:
            return x[:, None] if x.ndim == 2 else x
        length = min(self.params.window, x.shape[2]) or x.shape[2]
        return cut(x, length, length)

    def _standard(self, windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Median at each place, or of each channel of records that begin anywhere; the median row's root mean square."""
        centre = medians(windows)
        if self._wave and self.params.shift != 0:
            centre = np.array(np.broadcast_to(np.median(centre, axis=1, keepdims=True), centre.shape))
        square = mean_squares(windows, centre, tuple(range(2, windows.ndim)))
        return centre, heard(np.sqrt(np.median(square, axis=0)).reshape(-1, *(1,) * (windows.ndim - 2)))

    def _tensor(self, windows: NDArray[np.float32]) -> Tensor:
        z = (windows.astype(np.float64) - self._centre) * (1 / self._scale)
        return as_tensor(np.clip(z, -LIMIT, LIMIT), self.ctx.device)

    def _coded(self, net: nn.ModuleDict, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, *item) -> codes of the records (n, code), the mean over their windows."""
        windows = self._windows(x)
        return self._embedded(net, windows).reshape(len(x), -1, self.params.code).mean(axis=1)

    def _embedded(self, net: nn.ModuleDict, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Codes (m, code) in blocks of one size, so that a row has the same one in any company."""
        out = np.empty((len(windows), self.params.code))
        with exact(), torch.no_grad():
            for start in range(0, len(windows), BLOCK):
                part = windows[start : start + BLOCK]
                block = np.zeros((BLOCK, *windows.shape[1:]), np.float32)
                block[: len(part)] = part
                out[start : start + BLOCK] = net["encode"](self._tensor(block)).cpu().numpy()[: len(part)]
        return out

    def _examined(self, net: nn.ModuleDict, sample: NDArray[np.float32], gain: float) -> dict[str, float]:
        """``gain``: fall of the loss of rows held out. Of two views of each window of ``sample``: ``alignment`` (0 = the same),
        ``uniformity`` (lower = spread out), ``effective_rank`` of the codes, ``rank_one``: share of windows whose other view is
        the nearest of all.
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
def register_detectors(register) -> None:
    """Offers ``contrastive``."""
    register(Contrastive)
