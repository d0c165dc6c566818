"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vibro.errors import ResourceError
from vibro.io import files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT])
def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch, call, code):
    path = tmp_path / "summary.json"
    files.write_text(path, "old")

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        if call == "fsync":
            patched.setattr(os, "fsync", fail)
        elif call == "replace":
            patched.setattr(Path, "replace", fail)
        with pytest.raises(ResourceError, match=r"summary\.json"), files.atomic(path) as handle:
            handle.write(b"new")
            if call == "write":
                fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"summary.json"}
