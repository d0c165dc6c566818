"""Views: arrays made from records, each computed once for all detectors that name it, and released after its last reader."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vibro.api import FeatureExtractor, State, ViewKey
from vibro.core.shared import SharedArrays
from vibro.core.view_graph import INSTANT, ROOTS, inputs_of
from vibro.core.view_key import code_of
from vibro.core.view_work import ViewTask, read_only, view_rows, view_task
from vibro.data import SignalBatch, let_go, new_map
from vibro.errors import ContractError, NotApplicableError
from vibro.events import Event, ViewComputed
from vibro.portable.lacks import WHOLE, lacking
from vibro.scoring.instants import instant_numbers

CHUNK_BYTES = 8 << 20  # of input samples handed to one transform
GROUP = "group"  # an input of fits alone
AT_ONCE = 4  # chunks that a worker is handed
FIT_BYTES = 96 << 20  # of inputs handed to an extractor's fit: about 3,000 records of 8,192 samples


class Cache(Protocol):
    """Where views are kept from one run to the next; ``vibro.store.viewcache`` holds them on disk."""

    def get(self, key: str) -> tuple[NDArray[np.float32], State] | None:
        """The array and the extractor's state, or None."""

    def put(self, key: str, array: NDArray[np.float32], state: State) -> None:
        """Keeps both."""


class ViewStore:
    """Computes views of one batch on first need, in chunks of rows, and drops each after its last reader.

    With ``fit_rows`` an extractor is fitted on (an even sample of) those rows first; without, ``states`` must hold
    what it learned. Arrays above ``memory`` bytes become memory maps in ``folder``. ``instant`` (n,): the number of each
    record's machine and instant, -1 = not known; by default found from the batch. ``workers`` make views of many chunks.
    ``alike`` (sensors,): groups of like sensors, -1 = none; fits that are given sensor codes are given them as ``group``.
    """

    def __init__(
        self,
        batch: SignalBatch,
        extractors: Mapping[ViewKey, FeatureExtractor],
        readers: Mapping[ViewKey, int],
        *,
        fit_rows: NDArray[np.intp] | None = None,
        states: Mapping[ViewKey, State] | None = None,
        instant: NDArray[np.intp] | None = None,
        alike: NDArray[np.int32] | None = None,
        memory: int = 1 << 30,
        folder: Path | None = None,
        cache: Cache | None = None,
        workers: Executor | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.batch = batch
        self.extractors = dict(extractors)
        for extractor in self.extractors.values():
            extractor.ctx = replace(extractor.ctx, names=batch.covariate_names)
        self.readers = Counter(readers)
        self.fit_rows = fit_rows
        self.states: dict[ViewKey, State] = dict(states or {})
        self._instant = instant
        self._alike = alike
        self.memory = memory
        self.folder = folder
        self.cache = cache
        self.workers = workers
        self.emit = emit
        self.log = log
        self.kept: dict[ViewKey, NDArray[np.bool_] | None] = {}
        self._arrays: dict[ViewKey, NDArray[np.float32]] = {}
        self._failed: dict[ViewKey, Exception] = {}
        self._digests: dict[ViewKey, str] = {}
        self._spilled = 0

    def get(self, key: ViewKey) -> NDArray[np.float32]:
        """The view's array (n, *item), read-only; the error of its extractor if that failed."""
        if key.name in ROOTS:
            return self._root(key.name)
        if key in self._failed:
            raise self._failed[key]
        if key not in self._arrays:
            try:
                self._arrays[key] = self._compute(key)
            except Exception as error:
                self._failed[key] = error
                raise
        return self._arrays[key]

    def release(self, key: ViewKey) -> None:
        """One reader is done with the view; after the last one its array is dropped."""
        if key.name in ROOTS:
            return
        self.readers[key] -= 1
        if self.readers[key] <= 0:
            array = self._arrays.pop(key, None)
            if (
                isinstance(array, np.memmap)
                and array.filename is not None
                and Path(array.filename).parent == self.folder
            ):
                Path(array.filename).unlink(missing_ok=True)

    def _root(self, name: str) -> NDArray[np.float32]:
        if name == "raw":
            return self.batch.x
        if name == "covariates":
            return self.batch.covariates
        if name == INSTANT:
            if self._instant is None:
                self._instant = instant_numbers(self.batch, {})
            return self._instant.astype(np.float32)[:, None]
        return self.batch.sensor.astype(np.float32)[:, None]

    def _compute(self, key: ViewKey) -> NDArray[np.float32]:
        extractor = self.extractors[key]
        below = inputs_of(type(extractor), extractor.params)
        start = time.perf_counter()
        name = self.digest(key) if self.cache else ""
        found = self.cache.get(name) if self.cache and name else None
        if found is not None:
            array, self.states[key] = found
            extractor.load_state(self.states[key])
            self.kept[key] = extractor.kept
            for k in below:
                self._restore(k)
        else:
            inputs = {str(k): self.get(k) for k in below}
            start = time.perf_counter()
            if key in self.states:
                extractor.load_state(self.states[key])
            elif self.fit_rows is not None:
                extractor.fit(self._sample(inputs | self._grouped(below)))
                self.states[key] = extractor.state()
            self.kept[key] = extractor.kept
            array = self._transform(key, extractor, inputs)
            if self.cache and name:
                self.cache.put(name, array, self.states.get(key, {}))
        for k in below:
            self.release(k)
        self.emit(ViewComputed(str(key), array.nbytes, time.perf_counter() - start, cached=found is not None))
        return array

    def _grouped(self, below: Iterable[ViewKey]) -> dict[str, NDArray[np.float32]]:
        """The group (n, 1) of each record's sensor for a fit on these views, where there are groups and it sees sensors."""
        if self._alike is None or all(key.name != "sensor" for key in below):
            return {}
        return {GROUP: np.append(self._alike, -1)[self.batch.sensor].astype(np.float32)[:, None]}

    def _restore(self, key: ViewKey) -> None:
        """The states of a view that was not needed itself, and of those below it: new records will need them."""
        if key.name in ROOTS or key in self.states:
            return
        name = self.digest(key)
        found = self.cache.get(name) if self.cache and name else None
        if found is None:
            self.get(key)
            return
        self.states[key] = found[1]
        extractor = self.extractors[key]
        extractor.load_state(found[1])
        self.kept[key] = extractor.kept
        for k in inputs_of(type(extractor), extractor.params):
            self._restore(k)

    def digest(self, key: ViewKey) -> str:
        """Hash of all that decides a view's array: records, parameters, code, and its state or the rows it is fitted on.

        Empty for a view that cannot be cached, because its code or that of one below it cannot be seen.
        """
        if key not in self._digests:
            self._digests[key] = self._digest(key)
        return self._digests[key]

    def _digest(self, key: ViewKey) -> str:
        batch, parts = self.batch, sha256()
        if key.name in ROOTS:
            root = self._root(key.name)
            content = [f"{root.shape} {batch.fs}".encode(), "".join(batch.ids).encode()]
            content += [] if key.name == "raw" else [np.ascontiguousarray(root).tobytes()]
            content += ["\0".join(batch.covariate_names).encode()] if key.name == "covariates" else []
        else:
            extractor = self.extractors[key]
            below = inputs_of(type(extractor), extractor.params)
            code, inputs = code_of(type(extractor)), [self.digest(k) for k in below]
            if not code or not all(inputs):
                return ""
            ctx = extractor.ctx
            content = [f"{key} {key.params} {ctx.device} {ctx.seed}".encode(), code.encode()]
            content += [name.encode() for name in inputs]
            if key in self.states:
                for name, array in sorted(self.states[key].items()):
                    content += [name.encode(), np.ascontiguousarray(array).tobytes()]
            elif self.fit_rows is not None:
                content.append(b"fit" + np.sort(self.fit_rows).astype("<i8").tobytes())
                content += [group.tobytes() for group in self._grouped(below).values()]
        for part in content:
            parts.update(len(part).to_bytes(8, "little") + part)
        return parts.hexdigest()

    def _sample(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The fit rows of the inputs, thinned evenly over sensors and time, or over whole instants, to FIT_BYTES."""
        rows = self.fit_rows
        assert rows is not None
        rows = rows[~lacking(inputs)[rows]]
        if not len(rows):
            views = " and ".join(name for name in inputs if name not in WHOLE)
            raise NotApplicableError(f"no record to fit on has a value of {views}")
        bytes_per_row = sum(a[:1].nbytes for a in inputs.values()) or 1
        most = max(64, FIT_BYTES // bytes_per_row)
        if len(rows) > most and INSTANT in inputs:
            of = inputs[INSTANT][rows, 0]
            distinct = np.unique(of[of >= 0])
            kept = distinct[np.linspace(0, len(distinct) - 1, len(distinct) * most // len(rows)).astype(np.intp)]
            rows = rows[np.isin(of, kept)]
        elif len(rows) > most:
            batch = self.batch
            rows = rows[np.lexsort((batch.ids[rows], batch.time[rows], batch.sensor[rows]))]
            rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
        return {name: _picked(a, rows) for name, a in inputs.items()}

    def _transform(
        self, key: ViewKey, extractor: FeatureExtractor, inputs: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.float32]:
        n, out = len(self.batch), None
        step = max(1, CHUNK_BYTES // max(1, sum(a[:1].nbytes for a in inputs.values())))
        together = inputs.get(INSTANT)
        chunks = (
            [slice(s, s + step) for s in range(0, n, step)] if together is None else _whole_instants(together, step)
        )
        elsewhere = self.workers is not None and together is None and len(chunks) > AT_ONCE
        make = self._made_elsewhere if elsewhere else self._made
        for rows, values in make(key, extractor, inputs, chunks):
            if out is None:
                out = self._allocate((n, *values.shape[1:]))
            out[rows] = values
            let_go(out, *inputs.values())
        if out is None:
            raise ContractError(f"view {key} was asked for no rows")
        return read_only(out)

    def _made(
        self, key: ViewKey, extractor: FeatureExtractor, inputs: Mapping[str, NDArray[Any]], chunks: Sequence[Any]
    ) -> Iterator[tuple[Any, NDArray[np.float32]]]:
        """Rows and values of the view, chunk by chunk."""
        for rows in chunks:
            part = {name: read_only(a[rows]) for name, a in inputs.items()}
            yield rows, view_rows(extractor, part, key)

    def _made_elsewhere(
        self, key: ViewKey, extractor: FeatureExtractor, inputs: Mapping[str, NDArray[Any]], chunks: Sequence[Any]
    ) -> Iterator[tuple[Any, NDArray[np.float32]]]:
        """The same by workers, several chunks a task."""
        assert self.workers is not None
        files = SharedArrays(self.folder)
        try:
            refs = {name: files.ref(a) for name, a in inputs.items()}
            what = str(key), type(extractor), extractor.params, extractor.ctx, refs, self.states.get(key)
            groups = [chunks[i : i + AT_ONCE] for i in range(0, len(chunks), AT_ONCE)]
            spans = [[(rows.start, rows.stop) for rows in group] for group in groups]
            jobs = [self.workers.submit(view_task, ViewTask(*what, span)) for span in spans]
            here, why = 0, ""
            for group, job in zip(groups, jobs, strict=True):
                values = job.result()
                if isinstance(values, str):
                    yield from self._made(key, extractor, inputs, group)
                    here, why = here + len(group), why or values
                else:
                    yield slice(group[0].start, group[-1].stop), values
            if here:
                self.log(
                    f"warning: view {key}: {here} of {len(chunks)} chunks were made here,"
                    f" since the workers could not: {why}"
                )
        finally:
            files.clear()

    def _allocate(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        held = sum(a.nbytes for a in self._arrays.values() if not isinstance(a, np.memmap))
        if held + int(np.prod(shape)) * 4 <= self.memory:
            return np.empty(shape, np.float32)
        self.folder = self.folder or Path(mkdtemp(prefix="vibro-views-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._spilled += 1
        path = self.folder / f"view-{self._spilled:03d}.npy"
        return new_map(path, shape)


def _picked(array: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """``array[rows]``; of a memory map, whose pages come with their neighbours, not all at once."""
    out = np.empty((len(rows), *array.shape[1:]), array.dtype)
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(rows), step):
        out[start : start + step] = array[rows[start : start + step]]
        let_go(array)
    return out


def _whole_instants(instant: NDArray[np.float32], step: int) -> list[NDArray[np.intp]]:
    """All rows in chunks of about ``step`` that part no instant (n, 1)."""
    order = np.argsort(instant[:, 0], kind="stable")
    starts = np.flatnonzero(np.diff(instant[order, 0], prepend=-2))
    wanted = np.searchsorted(starts, np.arange(step, len(order), step))
    return np.split(order, np.unique(starts[wanted[wanted < len(starts)]]))
