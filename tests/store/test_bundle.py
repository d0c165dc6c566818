"""The model bundle: same parts, same bytes; every change is refused before a tensor is used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vibro.errors import IncompatibleModelError, StateError
from vibro.io import tensors
from vibro.store import bundle, seal
from vibro.store.bundle import BundleParts


def parts() -> BundleParts:
    rng = np.random.default_rng(0)
    return BundleParts(
        meta={"schema": {"fs": 10000.0, "unit": "g", "sensors": ["机1", "b"]}, "cuts": {"alarm": np.float64(3.5)}},
        tensors={
            "detectors/ecod": {"x": rng.normal(size=(20, 3)).astype(np.float32), "n": np.array(20)},
            "detectors/../odd id": {"on": np.array([True, False])},
            "extractors/00": {},
            "probes": {"ids": tensors.encode_text(["a" * 16, "b" * 16]), "raw": np.array([[1.0, np.nan]])},
        },
    )


@pytest.fixture
def model(tmp_path) -> Path:
    bundle.save(tmp_path / "model", parts())
    return tmp_path / "model"


def test_round_trip_and_equal_bytes(tmp_path, model):
    loaded = bundle.load(model)
    assert loaded.meta["schema"] == {"fs": 10000.0, "unit": "g", "sensors": ["机1", "b"]}
    assert loaded.meta["cuts"] == {"alarm": 3.5}
    assert set(loaded.tensors) == set(parts().tensors)
    for name, state in parts().tensors.items():
        assert set(loaded.tensors[name]) == set(state)
        for key, array in state.items():
            np.testing.assert_array_equal(loaded.tensors[name][key], array)
            assert loaded.tensors[name][key].dtype == array.dtype
            assert loaded.tensors[name][key].shape == array.shape
    assert list(tensors.decode_text(loaded.tensors["probes"]["ids"])) == ["a" * 16, "b" * 16]
    bundle.save(tmp_path / "again", loaded)
    before = {p.relative_to(model): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    after = {p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*") if p.is_file()}
    assert before == after


def test_names_never_leave_the_folder(tmp_path, model):
    assert {p.name for p in tmp_path.iterdir()} == {"model"}
    assert (model / "detectors" / "%2E." / "odd%20id.safetensors").is_file()


def test_save_replaces_an_older_bundle(model):
    bundle.save(model, BundleParts(meta={"v": 2}, tensors={}))
    assert bundle.load(model).meta == {"v": 2}
    assert [p.name for p in model.parent.iterdir()] == ["model"]


def test_every_flipped_bit_is_refused(model):
    rng = np.random.default_rng(1)
    paths = sorted(p for p in model.rglob("*") if p.is_file())
    for trial in range(150):
        path = paths[trial % len(paths)]
        original = path.read_bytes()
        content = bytearray(original)
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        with pytest.raises(StateError) as caught:
            bundle.load(model)
        assert caught.value.exit_code == 6
        path.write_bytes(original)
    bundle.load(model)


def test_tampering_is_refused(model):
    def refused(change) -> str:
        copy = model.with_name("copy")
        shutil.copytree(model, copy)
        change(copy)
        with pytest.raises(StateError) as caught:
            bundle.load(copy)
        shutil.rmtree(copy)
        return caught.value.message

    def swap(folder):
        (folder / "probes.safetensors").rename(folder / "t")
        (folder / "extractors/00.safetensors").rename(folder / "probes.safetensors")
        (folder / "t").rename(folder / "extractors/00.safetensors")

    def link(folder):
        target = folder.with_name("elsewhere")
        shutil.copy(folder / "probes.safetensors", target)
        (folder / "probes.safetensors").unlink()
        (folder / "probes.safetensors").symlink_to(target)

    def edit(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["meta"]["cuts"]["alarm"] = 99.0
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")

    assert "missing" in refused(lambda f: (f / "probes.safetensors").unlink())
    assert "extra" in refused(lambda f: (f / "x.pkl").write_bytes(b"\x80\x04."))
    assert "extra" in refused(lambda f: (f / "empty").mkdir())
    assert "damaged" in refused(lambda f: (f / "probes.safetensors").write_bytes(b""))
    assert "damaged" in refused(swap)
    assert "plain file" in refused(link)
    assert "damaged" in refused(edit)
    assert "no manifest.json" in refused(lambda f: (f / "manifest.json").unlink())
    assert "damaged" in refused(lambda f: (f / "manifest.json").write_text("[" * 100_000))


def reseal(model: Path, **changes) -> None:
    manifest = json.loads((model / "manifest.json").read_text())
    del manifest["digest"]
    (model / "manifest.json").write_text(bundle._text(seal.sealed({**manifest, **changes})))


def test_newer_format_is_incompatible(model):
    reseal(model, format=bundle.FORMAT + 1)
    with pytest.raises(IncompatibleModelError, match=f"format {bundle.FORMAT + 1}") as caught:
        bundle.load(model)
    assert caught.value.exit_code == 9


@pytest.mark.parametrize("path", ["../evil.safetensors", "/etc/passwd", "a/../../b.safetensors", "a\0b", "C:x"])
def test_sealed_manifest_with_evil_paths_is_refused(model, path):
    entry = {"name": "probes", "sha256": "0" * 64, "bytes": 1}
    reseal(model, files={path: entry})
    with pytest.raises(StateError, match="its list of files is invalid"):
        bundle.load(model)
