"""``cwt_image`` and ``hetero`` against the usual ways, in turns on one core; how true they are; and where the time goes.

    python -m benchmarks.speed.cwt

Writes ``benchmarks/results/speed/cwt.json``, ``cwt.md`` and ``views-profile.md``. ``VIBRO_PEERS`` may name a Python that
has fCWT or ssqueezepy, ``VIBRO_TEST_DATA`` the folder of real records; the results name what is missing. Times are
processor seconds of one thread, since the machine may be shared.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import thread_time

import numpy as np
import pywt
import scipy.signal
import torch

FS, LENGTH, SIZE, CLASSIC = 8192.0, 8192, 64, 224
RECORDS, ROUNDS = 64, 9
REAL = ("adi_motor", "mfpt", "cwru_0hp", "pronostia", "itsc_current")
COMPARED = 200
LEAST = {
    "cwt_image classic 224": {"pywt.cwt + area resize 224": 150},
    "cwt_image v2 64": {"pywt.cwt + area resize 224": 150, "fCWT, image": 10, "ssqueezepy, image": 20},
    "hetero v2 64": {"three-channel image 224": 100},
}


def area(picture: np.ndarray, size: int) -> np.ndarray:
    """``torch.nn.functional.interpolate(mode="area")`` of one picture."""
    return torch.nn.functional.interpolate(torch.from_numpy(picture)[None, None], (size, size), mode="area")[
        0, 0
    ].numpy()


def plain_classic(x: np.ndarray, size: int = CLASSIC) -> np.ndarray:
    """The classic picture as one would write it."""
    return area(np.abs(pywt.cwt(x.astype(np.float64), np.arange(1, 129), "morl")[0]), size)


def plain_three(x: np.ndarray, size: int = CLASSIC) -> np.ndarray:
    """The three-channel image as one would write it: standardised record, |CWT|, |STFT|, lines of 256; each 0..1."""
    z = (x - x.mean()) / x.std()
    stft = np.abs(scipy.signal.stft(z, nperseg=256, noverlap=128)[2])
    channels = [plain_classic(z, size), area(stft, size), area(z[: len(z) // 256 * 256].reshape(-1, 256), size)]
    return np.stack([(c - c.min()) / (c.max() - c.min()) for c in channels])


def views(x: np.ndarray) -> dict[str, tuple[int, Callable[[], object]]]:
    """Our views, fitted, with the records they handle in one call."""
    from vibro.context import Context
    from vibro_plugins.features.cwt_image import CwtImage
    from vibro_plugins.features.hetero import Hetero

    inputs = {"raw": x[:, None], "sensor": np.zeros((len(x), 1), np.float32)}
    made = {
        "cwt_image classic 224": CwtImage.make({"layout": "classic", "size": CLASSIC}, Context(fs=FS)),
        "cwt_image v2 64": CwtImage.make({"size": SIZE}, Context(fs=FS)),
        "hetero v2 64": Hetero.make({"size": SIZE}, Context(fs=FS)),
    }
    for view in made.values():
        view.fit(inputs)
        view.transform(inputs)
    return {name: (len(x), lambda view=view: view.transform(inputs)) for name, view in made.items()}


class Peers:
    """Other packages in a Python of their own, one record set, one answer a question."""

    def __init__(self, x: np.ndarray, bands: np.ndarray) -> None:
        self.names: list[str] = []
        self.said: list[str] = []
        python = os.environ.get("VIBRO_PEERS", "")
        if not python:
            self.said.append("VIBRO_PEERS names no Python with fCWT or ssqueezepy")
            return
        with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
            np.save(file, x)
        script = Path(__file__).with_name("cwt_peers.py")
        numbers = map(str, (FS, bands[-1], bands[0], len(bands), SIZE))
        self.process = subprocess.Popen(
            [python, str(script), file.name, *numbers],
            env={**os.environ, "OMP_NUM_THREADS": "1", "SSQ_PARALLEL": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for line in self.process.stdout:
            if line.startswith("ready"):
                self.names = [name.replace("_", " ") for name in line.split()[1:]]
                break
            if line.startswith("#"):
                self.said.append(line[2:].strip())
        Path(file.name).unlink()

    def seconds(self, name: str) -> float:
        """Processor seconds that a record takes."""
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """Ends the other Python."""
        if self.names:
            self.process.stdin.close()
            self.process.wait()


def race(x: np.ndarray, peers: Peers) -> dict[str, list[float]]:
    """Microseconds per record of every way, a list of rounds in turns."""
    todo = {
        "pywt.cwt + area resize 224": (1, lambda: plain_classic(x[0])),
        "three-channel image 224": (1, lambda: plain_three(x[0])),
        **views(x),
    }
    taken: dict[str, list[float]] = {name: [] for name in [*todo, *peers.names]}
    for _ in range(ROUNDS):
        for name, (records, work) in todo.items():
            begun = thread_time()
            work()
            taken[name].append((thread_time() - begun) / records * 1e6)
        for name in peers.names:
            taken[name].append(peers.seconds(name) * 1e6)
    return taken


def real_records(count: int) -> dict[str, tuple[float, np.ndarray]]:
    """``count`` records of each real set with its sampling rate; empty without VIBRO_TEST_DATA."""
    folder, found = os.environ.get("VIBRO_TEST_DATA", ""), {}
    for name in REAL:
        path = Path(folder) / name / f"{name}.npz"
        if folder and path.exists():
            with np.load(path, allow_pickle=False) as arrays:
                signals = arrays["signals"]
                found[name] = float(arrays["fs"]), signals[np.linspace(0, len(signals) - 1, count).astype(int)]
    return found


def dense(x: np.ndarray, frequencies: np.ndarray, columns: int) -> np.ndarray:
    """Definition of v2 at every sample of a unit record, power averaged over columns (bands, columns)."""
    from vibro_plugins.timefrequency.bank import SIGMA

    nu = np.arange(2 * len(x)) / (2 * len(x))
    spectrum, edges = np.fft.fft(x, 2 * len(x)), np.arange(columns + 1) * len(x) / columns
    out = np.empty((len(frequencies), columns))
    for row, f in enumerate(frequencies):
        response = np.sqrt(2) * np.exp(-0.5 * ((nu - f) / (SIGMA * f)) ** 2) * np.sinc(nu)
        power = np.abs(np.fft.ifft(spectrum * response)[: len(x)]) ** 2
        total = np.interp(edges, np.arange(len(x) + 1), np.concatenate([[0], np.cumsum(power)]))
        out[row] = np.diff(total) * columns / len(x)
    return out


def truth(x: np.ndarray, fs: float) -> dict[str, list[float]]:
    """Correlations of our images with their definitions, a record each: classic, v2 and the lower half of v2."""
    from vibro.context import Context
    from vibro_plugins.dsp.reference_level import unit_records
    from vibro_plugins.features.cwt_image import CwtImage
    from vibro_plugins.timefrequency.bank import FLOOR
    from vibro_plugins.timefrequency.morlet import log_frequencies
    from vibro_plugins.timefrequency.resize import area_weights

    inputs = {"raw": x[:, None], "sensor": np.arange(len(x), dtype=np.float32)[:, None]}
    pictures = []
    for settings in ({"layout": "classic", "size": CLASSIC}, {"size": SIZE}):
        view = CwtImage.make(settings, Context(fs=fs))
        view.fit(inputs)
        pictures.append(view.transform(inputs)[:, 0])
    frequencies = log_frequencies(fs, x.shape[1]) / fs
    rows = area_weights(len(frequencies), SIZE)
    out: dict[str, list[float]] = {"classic": [], "v2": [], "v2, lower half of the bands": []}
    for record, unit, classic, v2 in zip(x, unit_records(x[:, None])[0][:, 0], *pictures, strict=True):
        want = np.maximum(10 * np.log10(rows @ dense(unit, frequencies, SIZE) + 1e-30), FLOOR)
        half = SIZE // 2
        out["classic"].append(np.corrcoef(plain_classic(record).ravel(), classic.ravel())[0, 1])
        out["v2"].append(np.corrcoef(want.ravel(), v2.ravel())[0, 1])
        out["v2, lower half of the bands"].append(np.corrcoef(want[half:].ravel(), v2[half:].ravel())[0, 1])
    return out


def stages(x: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """Microseconds per record in each stage of v2 (median of rounds), and the work that they hold."""
    from vibro_plugins.dsp import reference_level as _sigma
    from vibro_plugins.timefrequency import bank as _bank
    from vibro_plugins.timefrequency import morlet as _morlet
    from vibro_plugins.timefrequency.resize import area_weights

    bank = _morlet.morlet_bank(LENGTH, SIZE, _morlet.log_frequencies(FS, LENGTH) / FS)
    rows, block = area_weights(bank.height, SIZE), _bank.BLOCK
    rounds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        begun = thread_time()
        result = work()
        rounds.setdefault(name, []).append((thread_time() - begun) / block * 1e6)
        return result

    for _ in range(2 * ROUNDS):
        unit, _ = timed("centre and scale", lambda: _sigma.unit_records(x[:block, None]))
        half = timed("one real FFT", lambda unit=unit: bank.grid.spectrum(unit[:, 0]))
        spectrum = _bank._mirrored(half, bank.grid.length, bank.bins)
        out = np.empty((block, bank.height, SIZE), np.float32)
        sums = dict.fromkeys(("multiply and fold", "short inverse FFTs", "power and averages"), 0.0)
        for group, mean in zip(bank.groups, bank.means, strict=True):
            step = max(1, _bank.CACHE // (8 * block * group.points))
            for first in range(0, len(group.rows), step):
                part = slice(first, first + step)
                folded = np.empty((block, len(group.rows[part]), group.points), np.complex64)
                at = thread_time()
                flat = spectrum.view(np.float32), group.first[part], group.offset[first:], group.taps
                _bank._fold(*flat, folded.view(np.float32))
                sums["multiply and fold"] -= at - (at := thread_time())
                wave = torch.fft.ifft(torch.from_numpy(folded), norm="forward").numpy()
                sums["short inverse FFTs"] -= at - (at := thread_time())
                options = group.per_column, mean.start, mean.straight, mean.cubic, group.rows[part]
                _morlet._pool_power(wave.view(np.float32), *options, out)
                sums["power and averages"] += thread_time() - at
        sums["bands between"] = clock(partial(_bank.fill_between, bank, out))
        for name, seconds in sums.items():
            rounds.setdefault(name, []).append(seconds / block * 1e6)
        timed("resize rows, decibels", lambda out=out: _sigma.decibel(np.matmul(rows, out), np.ones(block), -80.0))
    sample = torch.randn(32, 1152, dtype=torch.complex64)
    fastest = min(clock(lambda: torch.fft.ifft(sample, norm="forward")) for _ in range(20))
    store = np.ones(1 << 16, np.float32)
    copy = min(clock(store.copy) for _ in range(50))
    points = sum(g.points * len(g.rows) for g in bank.groups)
    flops = sum(5 * g.points * np.log2(g.points) * len(g.rows) for g in bank.groups)
    taps = sum(len(g.taps) for g in bank.groups)
    work = {
        "bands": bank.height,
        "bands_computed": bank.height - len(bank.between),
        "points": points,
        "mflop_in_short_ffts": flops / 1e6,
        "taps": taps,
        "fft_gflops_of_one_size_in_cache": 5 * 32 * 1152 * np.log2(1152) / fastest / 1e9,
        "copy_gb_per_second_in_cache": 2 * store.nbytes / copy / 1e9,
        "bytes_moved": 8 * taps * 2 + 8 * points * 3,
    }
    return {name: float(np.median(t)) for name, t in rounds.items()}, work


def clock(work: Callable[[], object]) -> float:
    """Processor seconds of this thread."""
    begun = thread_time()
    work()
    return thread_time() - begun


def profile(parts: dict[str, float], work: dict[str, float], by_set: list[list]) -> list[str]:
    """The profile in words."""
    from vibro_plugins.timefrequency.classic import chosen_scales

    total = sum(parts.values())
    fft = parts["short inverse FFTs"]
    reached = work["mflop_in_short_ffts"] / fft * 1e3
    best = work["fft_gflops_of_one_size_in_cache"]
    least = work["mflop_in_short_ffts"] / best * 1e3 + parts["one real FFT"]
    share = {name: f"{time:.0f} us ({time / total:.0%})" for name, time in parts.items()}
    moved = work["bytes_moved"] / work["copy_gb_per_second_in_cache"] / 1e3
    lines = [
        f"A v2 image of {SIZE} x {SIZE} from a record of {LENGTH} samples takes {total:.0f} us on one core: "
        + ", ".join(f"{name} {text}" for name, text in share.items())
        + ".",
        "",
        f"The short inverse FFTs hold {work['points']:,.0f} complex points in {work['bands_computed']} bands, "
        f"{work['mflop_in_short_ffts']:.1f} MFLOP by the usual count 5 N log2 N, and run at {reached:.1f} GFLOP/s. The same "
        f"library reaches {best:.1f} GFLOP/s where 32 transforms of 1,152 points are repeated in cache. With nothing but these "
        f"FFTs at that rate and the one long real FFT a record would take {least:.0f} us: we are at {total / least:.1f} times "
        f"that limit.",
        "",
        f"Multiplying by {work['taps']:,.0f} taps, folding and averaging move about {work['bytes_moved'] / 1e6:.1f} MB per "
        f"record through the cache, which at the measured {work['copy_gb_per_second_in_cache']:.0f} GB/s of a copy in cache "
        f"would take {moved:.0f} us; they take {parts['multiply and fold'] + parts['power and averages']:.0f} us.",
        "",
        f"Of the {work['bands']} bands {work['bands'] - work['bands_computed']} are not computed: where a column averages over "
        "many independent values, the power between two bands is interpolated. The classic picture costs the same per point; "
        f"its scales lie so close that {len(chosen_scales())} of 126 are computed on coarse grids. What makes it dear on some "
        "records are the stray pass-bands of the tabulated wavelet: rows in which a record has much power there are computed "
        "at every sample, two rows in one FFT, because the picture shows them.",
    ]
    if by_set:
        lines += ["", *_table(["real records", "samples", "classic 224, us", "against pywt.cwt + area resize"], by_set)]
    return lines


def on_real_records() -> list[list]:
    """Classic 224 on real records: name, samples, microseconds, ratio to the plain way."""
    from vibro.context import Context
    from vibro_plugins.features.cwt_image import CwtImage

    rows = []
    for name, (fs, x) in real_records(32).items():
        view = CwtImage.make({"layout": "classic", "size": CLASSIC}, Context(fs=fs))
        inputs = {"raw": x[:, None]}
        view.transform(inputs)
        pairs = [
            (clock(partial(view.transform, inputs)) / len(x), clock(partial(plain_classic, record))) for record in x[:5]
        ]
        ours, plain = np.median(pairs, axis=0)
        rows.append([name, x.shape[1], ours * 1e6, plain / ours])
    return rows


def _table(headers: list[str], rows: list[list]) -> list[str]:
    from benchmarks.common import table

    return table(headers, rows)


def main() -> int:
    """Measures, compares and writes the results."""
    from benchmarks.common import RESULTS, where

    from vibro.simulate.simulate import simulate
    from vibro_plugins.timefrequency.morlet import log_frequencies

    torch.set_num_threads(1)
    simulated = simulate(records=COMPARED, seed=0).x[:, 0]
    x = np.ascontiguousarray(simulated[:RECORDS])
    peers = Peers(x[:4], log_frequencies(FS, LENGTH))
    taken = race(x, peers)
    peers.close()
    ratios = {
        (name, other): np.array(taken[other]) / np.array(taken[name])
        for name, against in LEAST.items()
        for other in [*against, *(p for p in peers.names if p not in against and name == "cwt_image v2 64")]
        if other in taken
    }
    real = real_records(COMPARED // 2 // len(REAL))
    sets = {"simulated": (FS, simulated[: COMPARED - sum(len(v[1]) for v in real.values())]), **real}
    true = {name: truth(records, fs) for name, (fs, records) in sets.items()}
    parts, work = stages(x)
    by_set = on_real_records()

    lines = [
        f"{RECORDS} simulated records of {LENGTH} samples, {ROUNDS} rounds in turns, processor time of one thread.",
        *peers.said,
        "",
        *_table(["way", "us a record", "low", "high"], [[n, np.median(t), min(t), max(t)] for n, t in taken.items()]),
        *_table(
            ["view", "against", "times", "low", "high", "wanted"],
            [[n, o, np.median(r), r.min(), r.max(), LEAST[n].get(o, "-")] for (n, o), r in ratios.items()],
        ),
        "Correlation with the definition (classic: pywt.cwt + area resize; v2: every sample of the same wavelet, averaged):",
        "",
        *_table(
            ["records", "count", "image", "lowest", "median"],
            [
                [s, len(c), image, f"{min(c):.5f}", f"{np.median(c):.5f}"]
                for s, t in true.items()
                for image, c in t.items()
            ],
        ),
    ]
    folder = RESULTS / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    about = where()
    head = f"{about['date']}, {about['cpu']}, load of the machine {about['load']}, Python {about['python']}"
    found = {
        "about": about,
        "microseconds_per_record": {
            n: {"median": np.median(t), "low": min(t), "high": max(t)} for n, t in taken.items()
        },
        "ratio": {
            f"{n} / {o}": {"median": np.median(r), "low": r.min(), "high": r.max()} for (n, o), r in ratios.items()
        },
        "correlation": {s: {i: {"lowest": min(c), "count": len(c)} for i, c in t.items()} for s, t in true.items()},
        "stages_microseconds": parts,
        "work": work,
        "classic_on_real_records": by_set,
        "rounds": ROUNDS,
    }
    (folder / "cwt.json").write_text(json.dumps(found, indent=1, default=float) + "\n")
    (folder / "cwt.md").write_text("\n".join(["# speed of cwt_image and hetero", "", head, "", *lines, ""]))
    words = profile(parts, work, by_set)
    (folder / "views-profile.md").write_text(
        "\n".join(["# where the time of the image views goes", "", head, "", *words, ""])
    )
    print("\n".join([*lines, *words]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
