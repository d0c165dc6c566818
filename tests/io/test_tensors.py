"""Tensor files: numbers alone, whole, the same bytes for the same content."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.errors import ContractError, StateError
from vibro.io import tensors


def test_not_a_tensor_file_is_refused():
    for content in (b"\xff" * 8, (2**63).to_bytes(8, "little") + b"{}", b"", b"\x80\x04K\x01."):
        with pytest.raises(StateError, match="not a tensor file"):
            tensors.parse_tensors(content, "x")


def test_only_numbers_are_stored(tmp_path):
    for array in (np.array(["a"]), np.array([object()]), np.array([1j]), np.array(["2020-01-01"], "datetime64[s]")):
        with pytest.raises(ContractError, match="only numbers"):
            tensors.save_tensors(tmp_path / "x.safetensors", {"a": array})
    assert list(tmp_path.iterdir()) == []


def test_tensor_round_trip_keeps_shape_type_and_byte_order(tmp_path):
    state = {
        "zero_d": np.array(2.5),
        "empty": np.zeros((0, 4), np.int16),
        "big_endian": np.arange(3, dtype=">f8"),
        "strided": np.arange(12).reshape(3, 4).T,
        "flag": np.array(True),
    }
    tensors.save_tensors(tmp_path / "x.safetensors", state)
    loaded = tensors.load_tensors(tmp_path / "x.safetensors")
    for name, array in state.items():
        assert loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name], array)
        assert not loaded[name].flags.writeable
    shuffled = dict(reversed(state.items()))
    assert tensors.dump_tensors(shuffled) == tensors.dump_tensors(state)


def test_some_arrays_of_a_file_are_those_of_all(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors.save_tensors(path, {"a/x": np.arange(4.0), "a/y": np.arange(3), "b": np.zeros(2)})
    picked = tensors.pick_tensors(path, ("a/y", "a/x"))
    assert list(picked) == ["a/y", "a/x"] and picked["a/x"].tolist() == [0, 1, 2, 3] and picked["a/y"].dtype == np.int64
    for broken, names in ((path, ("c",)), (tmp_path / "none.safetensors", ("b",))):
        with pytest.raises(StateError, match="is not a tensor file"):
            tensors.pick_tensors(broken, names)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(StateError, match="is not a tensor file"):
        tensors.pick_tensors(path, ("b",))


def test_text_round_trip():
    text = ["", "机", "a" * 20, "x\n"]
    assert list(tensors.decode_text(tensors.encode_text(text))) == text
    assert tensors.encode_text([]).shape == (0, 0)
    with pytest.raises(ContractError):
        tensors.encode_text(["a\0"])
