"""A network as an ONNX graph."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from vibro.api import NotApplicableError


class _Scoring(nn.Module):
    """A function of a network's input, as a module of its own."""

    def __init__(self, net: nn.Module, score: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net = net
        self.score = score

    def forward(self, x: Tensor) -> Tensor:
        return self.score(x)


def onnx_graph(net: nn.Module, score: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> bytes:
    """``score``, which calls ``net``, of one row (1, *shape) as an ONNX model; NotApplicableError if it cannot be.

    Made by torch's tracing exporter: the newer one needs onnxscript. One row, because sizes that follow from the number of
    rows become constants in a trace.
    """
    content = io.BytesIO()
    module = _Scoring(net, score).cpu().eval()
    names: dict[str, Any] = {"dynamo": False, "input_names": ["x"], "output_names": ["y"]}
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(module, (torch.zeros(1, *shape),), content, **names)
    except Exception as error:  # the exporter's own classes differ between versions
        raise NotApplicableError(f"torch cannot export the network: {' '.join(str(error).split())[:200]}") from None
    return content.getvalue()
