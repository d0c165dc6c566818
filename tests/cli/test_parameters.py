"""Settings of a component in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from vibro.api import Params
from vibro.cli.parameters import describe_parameters


@dataclass(frozen=True)
class Settings(Params):
    """``size``: rows of the image; ``mode``: how borders are met."""

    size: Annotated[int, Field(ge=8, le=512)] = 64
    mode: Literal["mirror", "zero"] = "mirror"
    rate: Annotated[float, Field(gt=0)] | None = None  # steps a second
    names: list[str] = field(default_factory=list)
    depth: Annotated[int, Field(description="layers")] = 2


def test_parameters_in_words():
    found = {p["name"]: p for p in describe_parameters(Settings)}
    assert found["size"] == {
        "name": "size",
        "type": "int",
        "default": 64,
        "bounds": ">= 8, <= 512",
        "doc": "rows of the image",
    }
    assert found["mode"] | {"default": 0} == {
        "name": "mode",
        "type": "choice",
        "default": 0,
        "bounds": "mirror | zero",
        "doc": "how borders are met",
    }
    assert (found["rate"]["type"], found["rate"]["bounds"], found["rate"]["doc"]) == (
        "float or none",
        "> 0",
        "steps a second",
    )
    assert (found["names"]["type"], found["names"]["default"]) == ("list of str", [])
    assert found["depth"]["doc"] == "layers"
