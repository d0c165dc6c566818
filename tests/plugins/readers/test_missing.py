"""A file that is not there, for every reader."""

from __future__ import annotations

import pytest

from vibro_plugins.readers.csv import CsvTable
from vibro_plugins.readers.json import JsonDocument
from vibro_plugins.readers.jsonl import JsonLines
from vibro_plugins.readers.npz import Npz

from .common import read


@pytest.mark.parametrize("cls", [JsonLines, JsonDocument, CsvTable, Npz])
def test_a_missing_file_is_an_os_error(cls, tmp_path):
    with pytest.raises(OSError):
        read(cls, tmp_path / f"nowhere{cls.extensions[0]}")
