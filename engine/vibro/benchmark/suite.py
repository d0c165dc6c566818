"""A benchmark suite as a TOML file: data sets, pools, ensembles, and how they are combined and judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vibro.api import Params, check_settings
from vibro.benchmark.datasets import SetEntry
from vibro.errors import ConfigError
from vibro.host.registry import read_toml


@dataclass(frozen=True)
class PoolEntry(Params):
    """How records are drawn from a data set: share of anomalies (none = as found), variant, noise ``snr_db`` below the signal.

    ``sets`` names the data sets it is drawn from; empty = all.
    """

    name: str = "all"
    contamination: float | None = None
    variant: Literal["plain", "episode", "light", "noisy"] = "plain"
    snr_db: float | None = None
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite(Params):
    """What a suite file may say (benchmarks/README.md); ``limit`` bounds the size of a pool, 0 = no bound.

    The ensembles ``in_sample`` are fitted once on all rows, as with a library that has no held-out reference: z is
    (score - mean) / sd over these rows, the same for all sensors, compressed as in the ensemble's calibration, and no detector
    is excluded by the sensitivity check.
    """

    name: str
    sets: tuple[SetEntry, ...] = ()
    summary: str = ""
    pools: tuple[PoolEntry, ...] = (PoolEntry(),)
    ensembles: tuple[str, ...] = ("default",)
    in_sample: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()  # local plugin files beside the suite
    combinations: str = "pairs"
    fusers: tuple[str, ...] = ("auto", "weighted_mean")
    thresholders: tuple[str, ...] = ("quantile",)
    seeds: int = 5
    split: Literal["machine", "recording", "time", "record", "none"] | None = None
    protocol: Literal["pool", "normals"] = "pool"
    labelled_k: tuple[int, ...] = ()
    budget: float = 0.01
    limit: int = 0

    @property
    def label_counts(self) -> tuple[int, ...]:
        """Numbers of labels per class that learners see: 0, then each number of ``labelled_k`` once."""
        return tuple(dict.fromkeys((0, *self.labelled_k)))

    def is_in_sample(self, ensemble: str) -> bool:
        """Whether the ensemble of this name is one of ``in_sample``."""
        return ensemble in {Path(name).stem if name.endswith(".toml") else name for name in self.in_sample}


def read_suite(path: Path) -> Suite:
    """The suite of a TOML file, its other files found beside it; ConfigError names every wrong key."""
    table = read_toml(path)
    suite: Suite = check_settings(Suite, {"name": path.stem, **table}, f"suite {path.name}")
    check_suite(suite)
    strange = sorted(set(suite.in_sample) - set(suite.ensembles))
    if strange:
        raise ConfigError(f"suite {suite.name}: in_sample names no ensemble of the suite: {', '.join(strange)}")
    beside, in_sample = (
        tuple(str(path.parent / e) if e.endswith(".toml") else e for e in names)
        for names in (suite.ensembles, suite.in_sample)
    )
    plugins = tuple(str(path.parent / p) for p in suite.plugins)
    return replace(suite, ensembles=beside, in_sample=in_sample, plugins=plugins)


def check_suite(suite: Suite) -> None:
    """ConfigError for figures out of bounds, and for sets and pools that contradict each other."""
    wrong = [f"seeds = {suite.seeds}"] if suite.seeds < 1 else []
    wrong += [f"budget = {suite.budget}"] if not 0 < suite.budget < 1 else []
    wrong += [f"limit = {suite.limit}"] if suite.limit < 0 else []
    wrong += [f"labelled_k = {k}" for k in suite.labelled_k if k < 1]
    wrong += [
        f"contamination = {p.contamination}"
        for p in suite.pools
        if p.contamination is not None and not 0 <= p.contamination < 1
    ]
    if wrong:
        raise ConfigError(f"suite {suite.name}: out of bounds: {', '.join(wrong)}")
    names = [entry.name for entry in suite.sets]
    if not names:
        raise ConfigError(f"suite {suite.name} names no data set", hint="add [[sets]]")
    for what, given in (("ensemble", suite.ensembles), ("thresholder", suite.thresholders), ("pool", suite.pools)):
        if not given:
            raise ConfigError(f"suite {suite.name} names no {what}", hint=f"leave {what}s out for the default")
    for what, many in (("data sets", names), ("pools", [p.name for p in suite.pools])):
        if len(set(many)) < len(many):
            raise ConfigError(f"suite {suite.name}: two {what} have one name")
    for entry in suite.sets:
        idle = [name for name in ("window", "machine", "series") if entry.labels and getattr(entry, name)]
        if idle:
            raise ConfigError(
                f"suite {suite.name}: {', '.join(idle)} of data set {entry.name} would have no effect",
                hint="they are for an .npz with labels inside",
            )
    for pool in suite.pools:
        strange = sorted(set(pool.sets) - set(names))
        if strange:
            raise ConfigError(f"suite {suite.name}: pool {pool.name} names unknown data sets {', '.join(strange)}")
        if pool.variant == "noisy" and pool.snr_db is None:
            raise ConfigError(
                f"suite {suite.name}: pool {pool.name} is noisy without a level", hint="add snr_db = -10.0"
            )
        if pool.variant == "episode" and pool.contamination is None:
            raise ConfigError(
                f"suite {suite.name}: pool {pool.name} draws an episode of no size", hint="add contamination = 0.05"
            )
