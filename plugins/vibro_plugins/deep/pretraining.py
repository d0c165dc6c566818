"""Training of the encoder on unlabelled pools of records: contrastive, with disturbed copies as examples of faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import Context, NotApplicableError, Pool
from vibro_plugins.deep.encoder import Departures, Encoder
from vibro_plugins.deep.exposure import broad
from vibro_plugins.deep.training import as_tensor, seeded, step

LEARNED, LEAST = 0.85, 24  # share of a pool, and rows at least, that the others are compared with
POOLS, ROWS, PAIRS, BROAD = 2, 32, 32, 128  # of a step: pools, and of each rows, pairs of copies, and broad examples
SHARPNESS = 2.0  # of the comparison of two scores
TEMPERATURE, CONTRAST = 0.2, 0.15  # of the contrastive loss, and its weight
PROJECTED = 32  # dimensions in which codes are compared

Half = NDArray[np.float16]


@dataclass(frozen=True)
class Seen:
    """A pool as the encoder sees it: departures (k, C, 3, 140) of rows, of copies in pairs, and of broad examples."""

    rows: Half
    one: Half
    other: Half
    broad: Half

    @classmethod
    def of(cls, pool: Pool, rng: np.random.Generator) -> Seen:
        """Most rows serve for comparison, as in a fit; the others are seen as new ones would be."""
        n = len(pool.x)
        known = np.sort(rng.permutation(n)[: max(LEAST, int(LEARNED * n))])
        found, place = Departures.fit(pool.x[known]), np.full(n, len(known))
        place[known] = np.arange(len(known))
        source = rng.integers(0, n, len(pool.one.x))
        sides = (
            (pool.x, np.arange(n)),
            *((c.x, c.row) for c in (pool.one, pool.other)),
            (broad(pool.x, source, rng), source),
        )
        return cls(*(found.shown(x, place[row]).astype(np.float16) for x, row in sides))


def pretrain(pools: Sequence[Pool], ctx: Context, steps: int) -> tuple[Encoder, list[float]]:
    """The encoder, and the mean loss of each tenth of the steps. NotApplicableError where no pool can be learned from.

    Two objectives: within a pool the score of an example of a fault exceeds that of a record (logistic loss of their
    difference); and of two records with the same disturbance each is recognised by the other's code, among other
    disturbances and undisturbed records (NT-Xent; Chen et al., ICML 2020).
    """
    rng, seen, reason = ctx.rng(), [], "there is none"
    for pool in pools:
        try:
            seen.append(Seen.of(pool, rng))
        except NotApplicableError as error:
            reason = error.message
    if not seen:
        raise NotApplicableError(f"no pool of records can be learned from: {reason}")
    with seeded(ctx):
        net = Encoder().to(ctx.device)
        project = nn.Linear(net.shape.in_features, PROJECTED).to(ctx.device)
        optimizer = torch.optim.AdamW([*net.parameters(), *project.parameters()], 2e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        losses = []
        for done in range(steps):
            loss = torch.stack(
                [_loss(net, project, seen[i], rng, ctx.device) for i in rng.integers(0, len(seen), POOLS)]
            )
            step(optimizer, loss.mean(), clip=1.0)
            schedule.step()
            losses.append(float(loss.mean().detach()))
            ctx.progress(done + 1, steps)
    return net.requires_grad_(False).eval(), [float(part.mean()) for part in np.array_split(losses, 10) if len(part)]


def _loss(net: Encoder, project: nn.Module, seen: Seen, rng: np.random.Generator, device: str) -> Tensor:
    pair = rng.permutation(len(seen.one))[:PAIRS]
    rows = rng.integers(0, len(seen.rows), ROWS)
    examples = rng.integers(0, len(seen.broad), BROAD)
    x = np.concatenate([seen.rows[rows], seen.one[pair], seen.other[pair], seen.broad[examples]])
    code, score = net(as_tensor(x, device))
    sound, faulty = score[: len(rows)], score[len(rows) :]
    apart = F.softplus(SHARPNESS * (sound[:, None] - faulty[None])).mean()
    place = F.normalize(project(code[: len(rows) + 2 * len(pair)]), dim=1)
    record, one, other = torch.split(place, [len(rows), len(pair), len(pair)])
    own, alike = torch.arange(len(pair), device=device), one @ other.T
    found = F.cross_entropy(torch.cat([alike, one @ record.T], 1) / TEMPERATURE, own)
    back = F.cross_entropy(torch.cat([alike.T, other @ record.T], 1) / TEMPERATURE, own)
    return apart + CONTRAST * (found + back)
