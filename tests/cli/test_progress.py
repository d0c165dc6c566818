"""The live view: records a second of a stage, steps of a running detector."""

from __future__ import annotations

from vibro.cli import console
from vibro.cli.progress import Progress
from vibro.events import StageFinished, StageStarted, TaskFinished, TaskProgress, TaskStarted


def told(*events):
    """The descriptions of the bars after the events."""
    console.configure(quiet=False, json=False, lang="en")
    observer = Progress(live=True)
    for event in events:
        observer.on_event(event)
    said = [task.description for task in observer._live.tasks]
    observer.close()
    return said


def test_records_a_second_are_those_of_the_files_that_were_read():
    files = [TaskFinished("ingest", "a", 2.0, 3000), TaskFinished("ingest", "b", 1.0, 1500)]
    assert told(StageStarted("ingest", 2), *files) == ["ingest (1,500 records/s)"]
    assert told(StageStarted("ingest", 2), *files, StageFinished("ingest", 3.0)) == ["ingest (1,500 records/s)"]
    assert told(StageStarted("fuse", 0), TaskFinished("fuse", "x", 1.0)) == ["fuse"]


def test_a_network_tells_its_epochs_and_a_file_its_share():
    start = StageStarted("detect", 3), TaskStarted("detect", "hetero_vae")
    assert told(*start, TaskProgress("detect", "hetero_vae", 7, 30)) == ["detect: hetero_vae 7/30"]
    share = TaskStarted("ingest", "a.csv"), TaskProgress("ingest", "a.csv", 1, 4)
    assert told(StageStarted("ingest", 1), *share) == ["ingest: a.csv 25 %"]
