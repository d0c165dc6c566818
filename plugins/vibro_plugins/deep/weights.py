"""A file of weights: a safetensors file whose header says what they are, sealed by a digest of header and arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from vibro.api import NotApplicableError

FORMAT = 1  # of the file and of what an encoder reads: weights of another one are refused
BUNDLED = Path(__file__).with_name("encoder.safetensors")  # trained on simulated machines alone
KEY, SEAL = "vibro", "sha256"  # of the header, and of the digest in it

Arrays = dict[str, NDArray[np.float32]]


def dump_weights(arrays: Arrays, about: Mapping[str, Any]) -> bytes:
    """The content of a file; ``about`` is any table that JSON can hold."""
    told = {"format": FORMAT, **about}
    # one entry, since safetensors writes several in any order
    return save(arrays, {KEY: json.dumps({**told, SEAL: _digest(told, arrays)}, sort_keys=True)})


def read_weights(path: Path = BUNDLED) -> tuple[Arrays, dict[str, Any]]:
    """The arrays of a file and what it says about them.

    NotApplicableError for one that is missing, damaged, of another format or no such file at all.
    """
    try:
        content = path.read_bytes()
        arrays = {name: _array(table) for name, table in deserialize(content)}
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        about = json.loads(header[KEY])
        given, seal = about["format"], about.pop(SEAL)
    except OSError as error:
        raise NotApplicableError(f"cannot read the weights {path}: {error.strerror}") from None
    except (SafetensorError, KeyError, ValueError, TypeError):
        raise NotApplicableError(f"{path} is no file of vibro pretrain") from None
    if given != FORMAT:
        raise NotApplicableError(
            f"the weights {path} have format {given}, this vibro reads format {FORMAT}: make them again with vibro pretrain"
        )
    if seal != _digest(about, arrays):
        raise NotApplicableError(
            f"the weights {path} are damaged: take a fresh copy or make them again with vibro pretrain"
        )
    return arrays, about


def _array(table: Mapping[str, Any]) -> NDArray[np.float32]:
    if table["dtype"] != "F32":
        raise ValueError(table["dtype"])
    return np.frombuffer(table["data"], "<f4").reshape(table["shape"])


def _digest(about: Mapping[str, Any], arrays: Arrays) -> str:
    digest = sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode() + np.ascontiguousarray(arrays[name], "<f4").tobytes())
    return digest.hexdigest()
