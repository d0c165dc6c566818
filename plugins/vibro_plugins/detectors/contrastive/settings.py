"""Settings of ``contrastive``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from vibro.api import Params
from vibro_plugins.deep.windows import MOST_SAMPLES


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
