"""Settings of ``tadgan``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from vibro.api import Params
from vibro_plugins.deep.windows import MOST_SAMPLES


@dataclass(frozen=True)
class TadGanParams(Params):
    """Settings of ``tadgan``.

    ``objective``: that of the paper (plain), or with disturbed copies as further false windows and a margin (exposure)
    ``margin``: exposure: factor by which the error of a copy is to exceed that of sound records
    ``window``: samples of a window along the last axis; 0: the whole row, as for vectors
    ``hop``: samples between the starts of two windows; 0: windows do not overlap
    ``pool``: score of a record from those of its windows
    ``latent``: values of a window's code; 20 as in the paper
    ``width``: channels of the convolutions
    ``critic``: critic of windows: convolutions (conv) or a Transformer over patches
    ``patch``: values of a patch of the Transformer critic
    ``critic_steps``: critic steps for one step of encoder and generator; 5 as usual for Wasserstein critics
    ``penalty``: weight of the gradient penalty of both critics; 10 as in Gulrajani et al.
    ``cycle``: weight of the reconstruction error in the loss; 10 as in the paper
    ``error``: reconstruction error by point, or of the running mean (area)
    ``area``: values of the running mean
    ``combine``: error and critic as a weighted sum or as a product
    ``alpha``: weight of the error in the sum; the critic has the rest
    ``epochs``: epochs at most, each of 50 critic steps
    ``batch``: windows of a step at most; fewer where windows are few
    ``lr``: learning rate of Adam
    ``trim``: share of windows with the largest error, not trained on; more was tried without gain
    ``patience``: epochs without a lower error on held-out windows before training stops
    """

    objective: Literal["plain", "exposure"] = "plain"
    margin: Annotated[float, Field(ge=1, le=100)] = 3.0
    window: Annotated[int, Field(ge=0, le=MOST_SAMPLES)] = 0
    hop: Annotated[int, Field(ge=0, le=MOST_SAMPLES)] = 0
    pool: Literal["mean", "max"] = "mean"
    latent: Annotated[int, Field(ge=1, le=512)] = 20
    width: Annotated[int, Field(ge=2, le=256)] = 8
    critic: Literal["conv", "transformer"] = "conv"
    patch: Annotated[int, Field(ge=2, le=4096)] = 32
    critic_steps: Annotated[int, Field(ge=1, le=50)] = 5
    penalty: Annotated[float, Field(ge=0, le=1000)] = 10.0
    cycle: Annotated[float, Field(ge=0, le=1000)] = 10.0
    error: Literal["point", "area"] = "point"
    area: Annotated[int, Field(ge=2, le=4096)] = 10
    combine: Literal["sum", "product"] = "sum"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 30
    batch: Annotated[int, Field(ge=4, le=4096)] = 32
    lr: Annotated[float, Field(gt=0, le=10)] = 3e-3
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    patience: Annotated[int, Field(ge=1, le=10_000)] = 10
