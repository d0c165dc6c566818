"""A run in a notebook: fitted or scored, shown, decided anew, explained, saved."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vibro.context import Context
from vibro.errors import ConfigError, VibroError
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions, ingest
from vibro.io.files import new_folder, scratch_folder
from vibro.python.progress import shown_in_notebook
from vibro.python.records import Records, records_of
from vibro.python.show import html, table
from vibro.report.explain import explain
from vibro.report.explain_page import write_explanation
from vibro.runs.fit import run_ensemble
from vibro.runs.hosts import open_host
from vibro.runs.options import DataOptions, RunOptions
from vibro.runs.score import score_data
from vibro.runs.threshold import rethreshold, rewrite_report
from vibro.store import manifest, tables
from vibro.store.place import INTERNAL, is_run
from vibro.words import counted

OF_RECORDS = ("sensor", "machine", "time")


class Run:
    """A run directory: verdicts, scoring of other records, other cuts, explanations, a report.

    Made by ``vibro.fit``, ``vibro.load`` and ``Run.score``. The directory of a run that was not loaded is a temporary one,
    which goes with the object; ``save`` keeps it.
    """

    def __init__(self, path: Path, *owners: object) -> None:
        self.path = path
        self._owners = owners  # temporary folders that live as long as this: its own, that of its model

    @property
    def summary(self) -> dict[str, Any]:
        """``summary.json``: levels, detectors, cuts, machines, warnings (docs/run-directory.md)."""
        return dict(json.loads((self.path / "summary.json").read_text("utf-8")))

    @property
    def verdicts(self) -> Any:
        """``scores.parquet``, one row a record in their order: a pandas DataFrame, or a dict of arrays without pandas."""
        return table(tables.read_scores(self.path))

    def score(
        self,
        X: object,
        *,
        fs: float | None = None,
        sensor: object = None,
        machine: object = None,
        time: object = None,
        covariates: Mapping[str, ArrayLike] | str | Path | None = None,
        unit: str | None = None,
    ) -> Run:
        """Other records, scored with the frozen model; what they do not state is taken from it. Arguments as of ``vibro.fit``."""
        scratch = _Scratch()
        options = RunOptions(report=False, executor="serial", readers=False)
        data = _data(scratch, X, fs=fs, sensor=sensor, machine=machine, time=time, covariates=covariates, unit=unit)
        with _host() as host:
            score_data(host, self._model, data, options, scratch.run)
        return Run(scratch.run, scratch, self)

    def threshold(self, budget: float | None = None, method: str | None = None) -> Run:
        """Decides anew from the stored scores, with another budget of false alarms or another thresholder; gives itself.

        As ``vibro threshold`` it rewrites the run directory.
        """
        with _host() as host:
            rethreshold(host, self.path, budget=budget, method=method)
        return self

    def explain(
        self, record: int | str, path: str | Path | None = None, *, data: str | Path | None = None
    ) -> dict[str, Any]:
        """Why a record, by its row in ``verdicts`` or its id, got its verdict; with ``path`` also as a page.

        ``data`` names the folder of the sources if they moved. ConfigError for a record that the run does not have.
        """
        with _host() as host:
            found = explain(host, self.path, self._named(record), data=None if data is None else Path(data))
        if path is not None:
            write_explanation(found, Path(path))
        return {**found.table, "notes": list(found.notes)}

    def report(self, path: str | Path, *, lang: str = "en") -> Path:
        """Writes the report, one self-contained page, to ``path``."""
        with _host() as host:
            return rewrite_report(host, self.path, Path(path), lang)

    def save(self, folder: str | Path) -> Path:
        """Copies the run to a folder that does not exist yet, for ``vibro.load`` and every command."""
        target = Path(folder)
        if target.exists():
            raise ConfigError(f"{target} exists already", hint="choose another folder")
        manifest.verify(self.path)
        skip = shutil.ignore_patterns(*INTERNAL - {"stages"})
        with new_folder(target) as building:
            shutil.copytree(self.path, building, ignore=skip, dirs_exist_ok=True)
        return target

    def __getstate__(self) -> dict[str, Any]:
        return {"files": {p.relative_to(self.path).as_posix(): p.read_bytes() for p in _files(self.path)}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        scratch = _Scratch()
        for name, content in state["files"].items():
            target = scratch.run / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        self.__init__(scratch.run, scratch)  # type: ignore[misc]

    def __repr__(self) -> str:
        found = self.summary
        levels = ", ".join(f"{n} {level}" for level, n in found["levels"].items() if n)
        return f"<vibro run: {found['ensemble']}, {counted(found['records']['accepted'], 'record')} ({levels}) in {self.path}>"

    def _repr_html_(self) -> str:
        return html(self.path)

    @property
    def _model(self) -> Path:
        """The model that the run fitted or was scored with."""
        if (self.path / "model").is_dir():
            return self.path
        return Path(manifest.read(self.path)["settings"]["model"]["path"])

    def _named(self, record: int | str) -> str:
        if isinstance(record, str):
            return record
        ids = tables.read_scores(self.path)["record_id"]
        if not -len(ids) <= record < len(ids):
            raise ConfigError(f"the run has {len(ids)} records, none at row {record}", hint="run.verdicts")
        return str(ids[record])


def fit(
    X: object,
    *,
    fs: float | None = None,
    sensor: object = None,
    machine: object = None,
    time: object = None,
    covariates: Mapping[str, ArrayLike] | str | Path | None = None,
    unit: str | None = None,
    ensemble: str = "quick",
    budget: float | None = None,
    fit_on: str = "all",
    seed: int = 0,
    device: str = "auto",
) -> Run:
    """Fits an ensemble on records and gives every one a verdict: what ``vibro ensemble run`` does, on arrays.

    ``X``: an array (n, T) or (n, C, T) of floats or integers, a memory map, ``Records`` of ``vibro.read``, or a path to files.
    ``fs``: Hz; needed unless the files state it. ``sensor``, ``machine``: a name for all rows or one a row. ``time``: one
    a row, rising on each sensor. ``covariates``: numbers by name, one a row; a table's path where X is a path. ``unit``
    of X. ``ensemble``: a name or a TOML file; ``budget``: wished share of alarms among normal records; ``fit_on``,
    ``seed``, ``device`` as the options of the command. Errors are ``vibro.errors.VibroError`` with a ``hint``.
    """
    scratch = _Scratch()
    data = _data(scratch, X, fs=fs, sensor=sensor, machine=machine, time=time, covariates=covariates, unit=unit)
    options = RunOptions(
        ensemble=ensemble,
        budget=budget,
        fit_on=fit_on,
        seed=seed,
        device=device,
        executor="serial",
        readers=False,
        report=False,
    )
    with _host() as host:
        run_ensemble(host, data, options, scratch.run)
    return Run(scratch.run, scratch)


def load(folder: str | Path) -> Run:
    """A finished run directory, of a command or of ``Run.save``, after a check of every file."""
    path = Path(folder)
    if not is_run(path):
        raise ConfigError(f"{path} is no run directory", hint="name the folder given to -o or to run.save")
    manifest.verify(path)
    return Run(path)


def read(path: str | Path, *, fs: float | None = None, unit: str | None = None) -> Records:
    """The accepted records of a file or folder, of any kind that vibro reads; their samples are a memory map.

    What is quarantined is left out, as in every command; ``vibro data check`` tells what and why.
    """
    with scratch_folder() as folder, _host() as host:
        readers = [cls.make({}, Context()) for cls in host.components("reader")]
        got = ingest([Path(path)], readers, IngestOptions(fs=fs, unit=unit, need_fs=False), folder, host.emit)
    batch = got.batch
    return Records(  # a mapped file outlives its name
        x=batch.x[:, 0] if batch.channels == 1 else batch.x,
        fs=batch.fs or None,
        sensor=np.array(batch.sensors, dtype=np.str_)[batch.sensor],
        machine=np.array(batch.machines, dtype=np.str_)[batch.machine],
        time=batch.time,
        covariates={name: batch.covariates[:, j] for j, name in enumerate(batch.covariate_names)},
        unit=batch.unit,
    )


class _Scratch:
    """A temporary folder with the records that came as an array (``data``) and the run made of them (``run``)."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="vibro-"))
        self.data, self.run = folder / "data", folder / "run"
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


def _data(
    scratch: _Scratch,
    X: object,
    *,
    covariates: Mapping[str, ArrayLike] | str | Path | None,
    fs: float | None,
    unit: str | None,
    **given: object,
) -> DataOptions:
    """What a command line would say: the path that was given, or the file that the array was written to."""
    stated = [name for name, value in given.items() if value is not None]
    if isinstance(X, str | Path):
        if stated or isinstance(covariates, Mapping):
            name = stated[0] if stated else "covariates"
            raise ConfigError(
                f"{name} cannot be given with a path: the files state it",
                hint="covariates='table.csv', or vibro.read(path) and its parts as arrays",
            )
        tabled = None if covariates is None else Path(covariates)
        return DataOptions((Path(X),), IngestOptions(fs=fs, unit=unit), covariates=tabled)
    if isinstance(covariates, str | Path):
        raise ConfigError(
            "a table of covariates goes with a path to files", hint="covariates={'load': one number a row}"
        )
    if isinstance(X, Records):
        if stated or covariates is not None:
            raise ConfigError(f"{(*stated, 'covariates')[0]} is part of the records", hint="dataclasses.replace")
        records = replace(X, fs=fs or X.fs, unit=unit or X.unit)
    else:
        records = records_of(X, fs=fs, unit=unit, covariates=covariates, **given)  # type: ignore[arg-type]
    scratch.data.mkdir()
    return DataOptions((records.write(scratch.data),))


@contextmanager
def _host() -> Iterator[PluginHost]:
    host = open_host(lambda line: warnings.warn(line, stacklevel=4))
    try:
        with shown_in_notebook(host):
            yield host
    except VibroError as error:
        error.hint = error.hint and as_arguments(error.hint)
        raise


def as_arguments(hint: str) -> str:
    """A hint of the command line with options as arguments of ``fit``: ``--fit-on normal`` is ``fit_on='normal'``."""

    def argument(found: re.Match[str]) -> str:
        name, value = found["name"].replace("-", "_"), found["value"]
        plain = value.isupper() or re.fullmatch(r"[\d.e+-]+", value)
        return f"{name}={value if plain else repr(value)}"

    names = "|".join(name.replace("_", "-") for name in inspect.signature(fit).parameters)
    return re.sub(rf"--(?P<name>{names})[ =](?P<value>[^\s,;)]+)", argument, hint)


def _files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in INTERNAL]
