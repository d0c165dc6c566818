"""The task that the encoder learns: to recognise a record in an augmented view, among others and edited copies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from vibro_plugins.deep.diagnostics import effective_rank
from vibro_plugins.deep.standardise import BLOCK
from vibro_plugins.deep.training import exact
from vibro_plugins.detectors.contrastive.augment import Augmentation, edited
from vibro_plugins.detectors.contrastive.codes import Codes
from vibro_plugins.detectors.contrastive.losses import Queue, alignment, nt_xent, rank_one, uniformity
from vibro_plugins.stats.columns import evenly_spaced

MASK = 0.05  # longest gap in a record, a share of it
LEAST_GAIN = 0.05  # of a sound fit: relative fall of the loss,
LEAST_RANK, UNIFORM = 1.5, -0.2  # effective rank (low: records of few kinds have codes of few dimensions), uniformity,
LEAST_FOUND = 0.1  # and share of windows that are recognised in another view


class Pretext(Codes):
    """Views, losses and signs of success of the task that ``Contrastive`` is trained by."""

    _varies: Tensor  # 1 where the fit rows differ

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
