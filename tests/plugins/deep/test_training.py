"""Number formats on a device."""

from __future__ import annotations

import torch

from vibro_plugins.deep.training import exact, mixed


def test_tf32_is_off_where_scores_are_made_and_left_as_it_was():
    matrices, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matrices.allow_tf32, convolutions.allow_tf32
    with exact():
        assert not matrices.allow_tf32 and not convolutions.allow_tf32 and torch.get_num_threads() == 1
    assert (matrices.allow_tf32, convolutions.allow_tf32) == before


def test_no_mixed_precision_on_a_cpu():
    with mixed("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
