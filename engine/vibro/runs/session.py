"""One run directory at work: records in, events and timings, and a manifest in the end whatever happens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vibro.context import Context
from vibro.data import SignalBatch
from vibro.diagnosis.knowledge import Machine, machine_from
from vibro.errors import ConfigError, DataError, IncompatibleModelError, QuarantineError, VibroError
from vibro.events import RunFinished, StageFinished, StageStarted
from vibro.host.manager import PluginHost
from vibro.ingest import Ingested, ingest
from vibro.ingest.files import check_paths
from vibro.ingest.groups import read_groups
from vibro.ingest.machines import read_machines
from vibro.ingest.options import check_options
from vibro.ingest.settings import as_for_model, with_settings
from vibro.ingest.tables import Labels, machines_unnamed, read_covariates, read_labels, read_sensors, with_recordings
from vibro.ingest.ways import way_out
from vibro.io.named import check_plain
from vibro.io.paths import cache_folder
from vibro.runs.fit_rows import check_fit_on
from vibro.runs.options import DataOptions, RunOptions
from vibro.store import manifest, tables
from vibro.store.eventlog import EventLog
from vibro.store.place import clear, content, real_path, run_status
from vibro.store.rundir import RunDir
from vibro.store.viewcache import ViewCache


@dataclass(frozen=True)
class Input:
    """Accepted records with their tables, and the account of what was read."""

    batch: SignalBatch
    ingested: Ingested
    labels: Labels | None
    warnings: tuple[str, ...]
    machines: Mapping[str, Machine] = field(default_factory=dict)  # what is known of them, by sensor
    groups: Mapping[str, str] = field(default_factory=dict)  # of like sensors, by sensor


class Job:
    """One run directory at work: events, timings, and the manifest in the end whatever happens."""

    def __init__(self, run: RunDir, host: PluginHost, options: RunOptions) -> None:
        self.run = run
        self.host = host
        self.options = options
        self.started = datetime.now(UTC)
        self.clock = time.perf_counter()
        self.timings: dict[str, float] = {}
        self.parts: dict[str, Any] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage and tells the observers."""
        clock = time.perf_counter()
        self.host.emit(StageStarted(name))
        yield
        self.timings[name] = time.perf_counter() - clock
        self.host.emit(StageFinished(name, self.timings[name]))

    def end(self, status: str) -> None:
        """Tells the observers and writes the manifest, the last file of a run."""
        self.timings["total"] = time.perf_counter() - self.clock
        self.host.emit(RunFinished(status, self.timings["total"]))
        self.write_manifest(status)

    def write_manifest(self, status: str) -> None:
        """Writes the manifest as things stand."""
        self.parts.update(
            command=list(self.options.argv),
            started=self.started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            status=status,
            seed=self.parts.get("seed", self.options.seed),
            executor=self.options.executor,
            deterministic=self.options.deterministic,
            registry=self.host.registry.digests(),
            timings=self.timings,
        )
        manifest.write(self.run.path, manifest.build(self.run.path, **self.parts))


def finished(host: PluginHost, out: Path, options: RunOptions) -> dict[str, Any] | None:
    """The summary of the complete run that ``resume`` finds in OUT, where there is nothing left to do; else None."""
    place = real_path(out)
    if options.force or not options.resume or run_status(place) != "complete":
        return None
    kept = manifest.verify(place)
    host.log(f"{out} holds a complete run, nothing is left to do: {' '.join(map(str, kept.get('command', ())))}")
    return dict(json.loads((place / "summary.json").read_text("utf-8")))


@contextmanager
def job(host: PluginHost, out: Path, options: RunOptions) -> Iterator[Job]:
    """A locked run directory.

    A failure of work leaves manifest, quarantine and events behind (exit 4 and 5); a wrong option or unusable data leave
    nothing, so that the corrected command finds OUT as it was.
    """
    with RunDir.open(out, force=options.force, resume=options.resume) as run:
        fresh = not content(run.path)
        work = Job(run, host, options)
        log = EventLog(run.path / "events.jsonl")
        with log:
            host.observe(log, "event log")
            try:
                yield work
            except (ConfigError, DataError, IncompatibleModelError):
                if fresh:
                    clear(run.path)
                raise
            except VibroError as error:
                work.parts.setdefault("failures", []).append(
                    {"phase": "run", "error": type(error).__name__, "message": error.message}
                )
                work.end("failed")
                raise
            except BaseException:
                work.end("interrupted")
                raise


def read_input(work: Job, data: DataOptions, schema: Mapping[str, Any] | None = None) -> Input:
    """Ingests into the run's stage, writes quarantine.csv, joins the tables; QuarantineError above the limit.

    ``schema``: that of a model, whose sampling rate, unit and length count where the data state none, and whose channels
    and windows count where the command says none.
    """
    host = work.host
    readers = [cls.make({}, Context()) for cls in host.components("reader")]
    how, told = (data.reading, "") if schema is None else as_for_model(data.paths, data.reading, schema)
    bom = work.options.csv_bom
    with work.stage("ingest"), work.run.stage("10-ingest", work.started.isoformat()) as stage:
        cache = ViewCache(cache_folder() / "records")
        got = ingest(data.paths, readers, how, stage.path, host.emit, cache, side_by_side=work.options.readers)
        tables.write_quarantine(work.run.path, got.accounting.rows(), bom=bom)
    work.parts["data"] = got.sources
    work.parts["settings"] = {**work.parts.get("settings", {}), "reading": asdict(got.options)}
    share = got.accounting.share
    if share > data.max_quarantine:
        most = max(got.accounting.by_code, key=lambda code: got.accounting.by_code[code])
        raise QuarantineError(
            f"{share:.1%} of the records were quarantined, above the limit of {data.max_quarantine:.1%}:"
            f" {', '.join(f'{n} x {code}' for code, n in sorted(got.accounting.by_code.items()))}",
            hint=f"{way_out(most, got.window)}; quarantine.csv lists every reason, --max-quarantine allows more",
        )
    batch, warnings = got.batch, [*([told] if told else []), *got.warnings, *work.run.warnings]
    labels, groups = None, {}
    machines = {sensor: machine_from(table) for sensor, table in (schema or {}).get("machines", {}).items()}
    if data.sensors is not None:
        batch, said = read_sensors(data.sensors, batch)
        machines |= read_machines(data.sensors)
        groups = read_groups(data.sensors)
        warnings += said
    warnings += machines_unnamed(batch, got.unnamed)
    if data.covariates is not None:
        batch, said = read_covariates(data.covariates, batch, data.covariate_tolerance)
        warnings += said
    if data.labels is not None:
        labels = read_labels(data.labels, batch, data.labels_partial, got.accounting, data.meaning)
        batch = with_recordings(batch, labels)
        warnings += labels.warnings
    work.parts["fingerprint"] = batch.fingerprint
    machines = {sensor: machines[sensor] for sensor in batch.sensors if sensor in machines}
    return Input(batch, got, labels, tuple(warnings), machines, groups)


def check_input(data: DataOptions, fit_on: str) -> None:
    """ConfigError for what can be seen to be wrong before any work begins."""
    check_paths(data.paths)
    check_options(with_settings(data.paths, data.reading)[0])
    for option, path in (("--labels", data.labels), ("--covariates", data.covariates), ("--sensors", data.sensors)):
        if path is not None:
            check_plain(path, option)
    check_fit_on(fit_on, data.labels is not None)
