"""The seal of a manifest: a digest, which shows every accident, and with a key a signature, which shows forgery too.

A digest lies beside what it describes, so whoever rewrites a file can rewrite the digest. A signature (HMAC-SHA256, RFC 2104)
needs the key: with one in use, what is written is signed and what is read must carry the signature of that key.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from vibro.errors import ConfigError, StateError
from vibro.io.named import read_small

SHORTEST = 16  # bytes of a key
MARKS = ("digest", "signature")
_key: list[bytes] = []  # the key in use, if any


def use_key(path: Path | None) -> None:
    """From now on signs with the bytes of this file, or not at all; ConfigError for a file that is no key."""
    _key.clear()
    if path is not None:
        content = read_small(path, "--sign").strip()
        if len(content) < SHORTEST:
            raise ConfigError(
                f"{path} is too short for a key: {len(content)} bytes, at least {SHORTEST} are needed",
                hint=f"head -c 32 /dev/urandom | base64 > {path.name}",
            )
        _key.append(content)


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a fresh digest, and with a signature where a key is in use."""
    body = {name: value for name, value in manifest.items() if name not in MARKS}
    if _key:
        body["signature"] = _signature(body)
    return {**body, "digest": sha256(_canonical(body)).hexdigest()}


def whole(manifest: Mapping[str, Any]) -> bool:
    """Whether the digest is that of everything else in the manifest."""
    body = {name: value for name, value in manifest.items() if name != "digest"}
    return manifest.get("digest") == sha256(_canonical(body)).hexdigest()


def check_signature(manifest: Mapping[str, Any], where: Path) -> None:
    """StateError, where a key is in use, unless the manifest carries its signature."""
    if not _key:
        return
    said = manifest.get("signature")
    body = {name: value for name, value in manifest.items() if name not in MARKS}
    if not isinstance(said, str):
        raise StateError(f"{where} is not signed", hint="leave --sign out to use it all the same")
    if not hmac.compare_digest(said.encode(), _signature(body).encode()):
        raise StateError(f"{where} was not signed with this key", hint="take it from whoever holds the key")


def _signature(body: Mapping[str, Any]) -> str:
    return hmac.new(_key[0], _canonical(body), "sha256").hexdigest()


def _canonical(body: Mapping[str, Any]) -> bytes:
    """The one text of a table."""
    return json.dumps(body, sort_keys=True, ensure_ascii=True, allow_nan=False).encode("ascii")
