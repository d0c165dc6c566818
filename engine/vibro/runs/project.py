"""``vibro.toml`` where the user works: ``[run]`` says what ``vibro run`` repeats, ``[read]`` how files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from vibro.api import Params, check_settings
from vibro.errors import ConfigError
from vibro.ingest import IngestOptions
from vibro.ingest.files import check_paths
from vibro.ingest.settings import RUN, read_settings, tables_of
from vibro.io import files
from vibro.runs.options import DataOptions, RunOptions

NAME = "vibro.toml"
COMMENTS = {
    "data": "files or folders",
    "out": "the run directory",
    "ensemble": "a name (vibro ensemble list) or a TOML file",
    "budget": "wished share of alarms among normal records; default: that of the ensemble",
    "fit_on": "all, first:0.2, first:30d, until:2024-03-01: the baseline of each sensor",
    "sensors": "table of sensors and their machines",
    "covariates": "table of load, temperature, speed ...",
    "labels": "label table, for metrics only",
    "seed": "of the run",
}


@dataclass(frozen=True)
class Project(Params):
    """The table ``[run]``: what ``vibro run`` does; None = not said. Paths are below the folder of the file."""

    data: tuple[str, ...]
    out: str = "vibro-run"
    ensemble: str = "default"
    budget: Annotated[float, Field(gt=0, lt=1)] | None = None
    fit_on: str = "all"
    sensors: str | None = None
    covariates: str | None = None
    labels: str | None = None
    seed: Annotated[int, Field(ge=0)] = 0


def write_project(folder: Path, project: Project, *, force: bool = False) -> Path:
    """Writes ``vibro.toml``; a table ``[read]`` that is there stays. ConfigError for data that are not there."""
    path = folder / NAME
    check_paths([folder / name for name in project.data])
    read = tables_of(path).get("read", {}) if path.exists() else {}
    if path.exists() and RUN in tables_of(path) and not force:
        raise ConfigError(f"{path} says already what to run", hint="edit it, or --force replaces its [run]")
    files.write_text(path, _text(project, read))
    return path


def read_project(folder: Path) -> tuple[Project, IngestOptions]:
    """What the file says to run, and how to read; ConfigError, with the known keys, for anything that it cannot say."""
    path = folder / NAME
    if not path.is_file():
        raise ConfigError(f"{folder} holds no {NAME}", hint="vibro init DATA -o OUT writes one")
    table = tables_of(path).get(RUN)
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path} has no table [{RUN}]", hint="vibro init DATA -o OUT writes one")
    return check_settings(Project, table, f"{NAME}: {RUN}"), IngestOptions(**read_settings(path))


def options_of(folder: Path, project: Project, reading: IngestOptions) -> tuple[DataOptions, RunOptions, Path]:
    """The options of ``vibro ensemble run`` and its OUT."""

    def place(name: str | None) -> Path | None:
        return None if name is None else folder / name

    data = DataOptions(
        paths=tuple(folder / name for name in project.data),
        reading=reading,
        sensors=place(project.sensors),
        covariates=place(project.covariates),
        labels=place(project.labels),
    )
    options = RunOptions(ensemble=project.ensemble, budget=project.budget, fit_on=project.fit_on, seed=project.seed)
    return data, options, folder / project.out


def _text(project: Project, read: Mapping[str, Any]) -> str:
    import tomlkit

    lines = [
        "# What `vibro run` does in this folder. Commands and addresses are given on the command line alone.",
        f"[{RUN}]",
    ]
    known = asdict(project)
    for name in (f.name for f in fields(project)):
        value = list(known[name]) if isinstance(known[name], tuple) else known[name]
        text = f"# {name} = " if value is None else f"{name} = {tomlkit.item(value).as_string()}"
        lines.append(f"{text}  # {COMMENTS[name]}" if value is not None else f"{text}...  # {COMMENTS[name]}")
    body = tomlkit.dumps({"read": dict(read)}) if read else ""
    return "\n".join(lines) + "\n" + (f"\n{body}" if body else "")
