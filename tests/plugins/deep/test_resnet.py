"""Residual trunks: a narrow one has the same gradients however its images lie in memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

NARROW = """
import copy, torch
from vibro_plugins.deep.resnet import trunk
torch.manual_seed(0)
for turn in range(25):
    for width in (2, 3, 4, 6):
        net = trunk(1, "small", width, bias=False)[0]
        plain, last = copy.deepcopy(net), net.to(memory_format=torch.channels_last)
        x = torch.randn(16, 1, 16, 20)
        plain(x).square().mean().backward()
        last(x.to(memory_format=torch.channels_last)).square().mean().backward()
        for a, b in zip(plain.parameters(), last.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-5)
"""


@pytest.mark.parametrize("isa", ["DEFAULT", "AVX2"])
def test_narrow_trunks_have_the_gradients_of_the_plain_layout(isa):
    """In a process of its own: where the library errs, it overwrites memory and the process ends."""
    done = subprocess.run(
        [sys.executable, "-c", NARROW], env={"ONEDNN_MAX_CPU_ISA": isa, "OMP_NUM_THREADS": "1"}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-500:]
