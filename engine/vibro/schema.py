"""What a batch must share with the model that scores it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibro.data import SignalBatch
from vibro.errors import IncompatibleModelError


def schema_of(batch: SignalBatch) -> dict[str, Any]:
    """What a batch must share with the model that scores it."""
    return {
        "fs": batch.fs,
        "length": batch.length,
        "channels": batch.channels,
        "unit": batch.unit,
        "sensors": list(batch.sensors),
        "covariate_names": list(batch.covariate_names),
    }


def check_schema(schema: Mapping[str, Any], batch: SignalBatch) -> None:
    """IncompatibleModelError names every way in which the batch differs from what the model was fitted on."""
    problems = [
        f"{name} is {getattr(batch, name):g}, the model was fitted at {schema[name]:g}"
        for name in ("fs", "length", "channels")
        if getattr(batch, name) != schema[name]
    ]
    if batch.unit != schema["unit"]:
        problems.append(f"unit is {batch.unit}, the model was fitted on {schema['unit']}")
    if problems:
        raise IncompatibleModelError(
            f"the data do not fit the model: {'; '.join(problems)}",
            hint="vibro data convert --resample/--window makes records alike; or fit a model for these data",
        )
