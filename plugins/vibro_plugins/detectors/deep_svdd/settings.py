"""Settings of ``deep_svdd`` and ``deep_sad``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from vibro.api import Params


@dataclass(frozen=True)
class DeepSvddParams(Params):
    """Settings of ``deep_svdd``.

    ``objective``: mean squared distance (one_class, as in the paper for clean data), a soft boundary (soft), or disturbed
    copies of the records pushed away (exposure)
    ``nu``: share of rows that the soft boundary leaves outside; unused by one_class
    ``backbone``: of images: small for a CPU, resnet18 for a GPU
    ``width``: channels of the first stage of the small backbone; a vector's network has 8 times as many units
    ``code``: dimensions of the code; 128 as in the paper
    ``heads``: networks side by side for a vector, each trained by itself; the score is the length of all codes together
    ``pretrain``: epochs of the auto-encoder that initialises the network, so that the first codes tell records apart
    ``epochs``: epochs at most; few, since codes contracted too far no longer tell records apart
    ``batch``: rows of a step at most; fewer rows are taken in smaller steps
    ``lr``: learning rate of Adam; low for the same reason: three times as much cost 0.026 of AUC on heart beats
    ``weight_decay``: L2 penalty of Adam; 1e-6 as in the paper
    ``trim``: share of rows, the farthest from the centre, not trained on: the most anomalies that are not learned;
    ``patience``: epochs without a fall of the median distance before training stops
    """

    objective: Literal["one_class", "soft", "exposure"] = "one_class"
    nu: Annotated[float, Field(gt=0, lt=1)] = 0.05
    backbone: Literal["small", "resnet18"] = "small"
    width: Annotated[int, Field(ge=2, le=128)] = 16
    code: Annotated[int, Field(ge=2, le=4096)] = 128
    heads: Annotated[int, Field(ge=1, le=64)] = 1
    pretrain: Annotated[int, Field(ge=0, le=1000)] = 2
    epochs: Annotated[int, Field(ge=0, le=1000)] = 8
    batch: Annotated[int, Field(ge=2, le=4096)] = 64
    lr: Annotated[float, Field(gt=0, le=10)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 1e-6
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    patience: Annotated[int, Field(ge=1, le=1000)] = 10


@dataclass(frozen=True)
class DeepSadParams(DeepSvddParams):
    """Settings of ``deep_sad``: those of ``deep_svdd``, and one more.

    ``eta``: weight of a labelled row relative to one without a label; 1 as in the paper
    """

    eta: Annotated[float, Field(ge=0, le=1000)] = 1.0
