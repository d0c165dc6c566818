"""What tasks are handed."""

from __future__ import annotations

import numpy as np

from vibro.core.shared import SharedArrays


def test_a_worker_gets_an_array_that_outlives_the_entry_of_the_cache(tmp_path):
    files = SharedArrays(tmp_path / "work")
    np.save(tmp_path / "entry.npy", np.arange(12.0, dtype=np.float32).reshape(4, 3))
    view = np.load(tmp_path / "entry.npy", mmap_mode="r")
    paths = [files.ref(view).path, files.ref(view[1:]).path]
    (tmp_path / "entry.npy").unlink()
    paths.append(files.ref(view).path)
    assert [np.load(path)[:, 0].tolist() for path in paths] == [[0, 3, 6, 9], [3, 6, 9], [0, 3, 6, 9]]
