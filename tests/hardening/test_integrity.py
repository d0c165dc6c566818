"""Nothing of a damaged run is used, nothing of a forged one where a key says who wrote it."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.errors import StateError
from vibro.io.tensors import load_tensors, save_tensors
from vibro.store import bundle, manifest, seal
from vibro.store.bundle import BundleParts
from vibro.store.index import SCORES

from .made import ensemble_run

READERS = {
    "threshold": lambda run: ["threshold", str(run), "--dry-run"],
    "report": lambda run: ["report", str(run), "-o", str(run.parent / "page.html")],
    "explain": lambda run: ["explain", str(run), "pool.npz:79"],
    "label": lambda run: ["label", str(run), "pool.npz:79", "--as", "fault"],
    "accept": lambda run: ["accept", str(run), "a", "--since", "2020-01-01"],
    "diff": lambda run: ["diff", str(run), str(run)],
    "pseudolabel": lambda run: ["pseudolabel", str(run), "-o", str(run.parent / "pseudo.csv")],
    "suggest": lambda run: ["suggest", str(run)],
    "finetune": lambda run: ["finetune", str(run), "--labels", str(run / "scores.csv"), "-o", str(run.parent / "m")],
    "reproduce": lambda run: ["reproduce", str(run)],
}


def forge_scores(run: Path) -> None:
    """The worst alarm becomes the best record, in a tensor file that is whole."""
    stored = {name: array.copy() for name, array in load_tensors(run / SCORES).items()}
    for name in ("persistent", "fused", "held_out_fused", "held_out_persistent"):
        stored[name][np.nanargmax(stored[name])] = -9.0
    save_tensors(run / SCORES, stored)


@pytest.mark.parametrize("name", READERS)
def test_no_command_uses_changed_scores(copy, name, capsys):
    forge_scores(copy)
    assert vibro([*READERS[name](copy), "--quiet"]) == 6
    assert f"{SCORES} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", READERS)
def test_the_same_commands_take_a_sound_run_up(copy, name, capsys):
    vibro([*READERS[name](copy), "--quiet"])
    assert "damaged" not in capsys.readouterr().err


def flips(run: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """Flips one random bit at a time in a file of a run; the places that ``verify`` did not mind."""
    chance = random.Random(seed)
    found = [p for p in sorted(run.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    files = [p for p in found if p.name != "stage.json"]  # what a resumed run looks at, and makes anew if it differs
    missed = []
    for _ in range(count):
        path = chance.choice(files)
        content = bytearray(path.read_bytes())
        place = chance.randrange(8 * len(content))
        sound = bytes(content)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(bytes(content))
        try:
            manifest.verify(run)
            missed.append((path.name, str(place)))
        except Exception as error:
            if getattr(error, "exit_code", 1) not in (6, 9):
                missed.append((path.name, repr(error)))
        path.write_bytes(sound)
    manifest.verify(run)
    return missed


def test_every_flipped_bit_of_a_run_is_refused(copy):
    assert flips(copy, 150, seed=1) == []


@pytest.mark.slow
def test_500_flipped_bits_of_a_run_are_refused(copy):
    assert flips(copy, 500, seed=2) == []


def test_every_byte_of_the_manifest_counts(copy):
    path = copy / "manifest.json"
    sound = path.read_bytes()
    for place in random.Random(3).sample(range(len(sound)), 200):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        with pytest.raises(StateError):
            manifest.verify(copy)


def test_labels_of_the_user_stand_in_the_manifest(copy, capsys):
    assert vibro(["label", str(copy), "pool.npz:3", "--as", "normal", "--quiet"]) == 0
    assert "labels.csv" in manifest.verify(copy)["files"]
    (copy / "labels.csv").write_text((copy / "labels.csv").read_text().replace("normal", "fault"))
    assert vibro(["threshold", str(copy), "--dry-run", "--quiet"]) == 6
    assert "labels.csv is damaged" in capsys.readouterr().err


def swap(run: Path) -> None:
    a, b = run / "machines.csv", run / "cases.csv"
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second), b.write_bytes(first)


def pipe(name: str):
    def change(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return change


def endless(run: Path) -> None:
    (run / "model" / "fuser.safetensors").unlink()
    (run / "model" / "fuser.safetensors").symlink_to("/dev/zero")


def huge(run: Path) -> None:
    with (run / "manifest.json").open("r+b") as handle:
        handle.truncate(1 << 40)  # takes no room


TAMPERED = {
    "swapped": (swap, "machines.csv is damaged"),
    "missing": (lambda run: (run / "scores.parquet").unlink(), "scores.parquet is missing"),
    "scores missing": (lambda run: (run / SCORES).unlink(), f"{SCORES} is missing"),
    "extra": (lambda run: (run / "model" / "x.pkl").write_bytes(b"x"), "model/x.pkl is extra"),
    "truncated": (lambda run: os.truncate(run / "scores.csv", 100), "scores.csv is damaged"),
    "grown": (lambda run: os.truncate(run / "scores.csv", 1 << 20), "scores.csv is damaged"),
    "pipe": (pipe("scores.csv"), "scores.csv is damaged"),
    "extra pipe": (pipe("model/pipe"), "model/pipe is extra"),
    "pipe as manifest": (pipe("manifest.json"), "manifest.json is damaged"),
    "endless": (endless, "model/fuser.safetensors is damaged"),
    "huge manifest": (huge, "manifest.json is damaged"),
    "deep manifest": (lambda run: (run / "manifest.json").write_text("[" * 100_000), "manifest.json is damaged"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", TAMPERED)
def test_a_run_that_was_tampered_with_is_refused(copy, name, capsys):
    change, said = TAMPERED[name]
    change(copy)
    assert vibro(["threshold", str(copy), "--quiet"]) == 6
    assert said in capsys.readouterr().err


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path) -> Path:
    (tmp_path / "key").write_text("a secret of more than sixteen bytes\n")
    yield tmp_path / "key"
    seal.use_key(None)


def reseal(model: Path) -> None:
    """One changed number and everything hashed anew, as a forger without the key can do."""
    parts = bundle.load(model)
    changed = {name: dict(arrays) for name, arrays in parts.tensors.items()}
    changed["fusion"]["weights"] = changed["fusion"]["weights"][::-1].copy() * 0.999
    bundle.save(model, BundleParts(parts.meta, changed))


def test_a_forged_model_is_refused_with_the_key(finished, tmp_path, key, capsys):
    data, run = str(finished.parent / "pool.npz"), tmp_path / "signed"
    assert ensemble_run(Path(data), run, "--sign", str(key)) == 0
    score = ["score", str(run), data, "-o", str(tmp_path / "out"), "--no-report", "--force", "--quiet", "--sign"]
    assert vibro([*score, str(key)]) == 0
    other = tmp_path / "other"
    other.write_text("another secret of enough bytes")
    assert vibro([*score, str(other)]) == 6
    assert "was not signed with this key" in capsys.readouterr().err
    seal.use_key(None)
    reseal(run / "model")
    assert vibro([*score, str(key)]) == 6
    assert "is not signed" in capsys.readouterr().err


def test_what_a_signed_run_is_rewritten_to_is_signed(finished, tmp_path, key, capsys):
    run = tmp_path / "signed"
    assert ensemble_run(finished.parent / "pool.npz", run, "--sign", str(key)) == 0
    assert vibro(["threshold", str(run), "--budget", "0.02", "--quiet", "--sign", str(key)]) == 0
    seal.use_key(key)
    manifest.verify(run)
    bundle.load(run / "model")
    path = run / "manifest.json"
    forged = {**json.loads(path.read_bytes()), "seed": 5}
    seal.use_key(None)
    signature = forged["signature"]
    manifest.write(run, forged)  # a fresh digest; the old signature is put back
    body = {**json.loads(path.read_bytes()), "signature": signature}
    body.pop("digest")
    digest = seal.sha256(seal._canonical(body)).hexdigest()
    path.write_text(manifest.files.to_json({**body, "digest": digest}))
    manifest.verify(run)
    seal.use_key(key)
    with pytest.raises(StateError, match="not signed with this key"):
        manifest.verify(run)


def test_a_key_is_a_plain_file_of_some_length(copy, tmp_path, capsys):
    (tmp_path / "short").write_text("short")
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("short", "too short"), ("absent", "no such file"), ("pipe", "no plain file")):
        assert vibro(["report", str(copy), "--sign", str(tmp_path / name)]) == 2
        assert said in capsys.readouterr().err


def test_no_trace_of_the_key_is_written(finished, tmp_path, key):
    run = tmp_path / "signed"
    assert ensemble_run(finished.parent / "pool.npz", run, "--sign", str(key)) == 0
    assert all(b"a secret of" not in p.read_bytes() for p in run.rglob("*") if p.is_file())
    shutil.rmtree(run)
