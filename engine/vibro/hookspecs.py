"""Every hook of vibro. A hook registers component classes or observes; it never computes and never returns a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from vibro.api import Classifier, Detector, FeatureExtractor, Fuser, Metric, Reader, Thresholder
    from vibro.events import Event

hookspec = pluggy.HookspecMarker("vibro")
hookimpl = pluggy.HookimplMarker("vibro")

# --- components: called once, when the plugin is loaded ---------------------------------------------------------------


@hookspec
def register_readers(register: Callable[[type[Reader]], None]) -> None:
    """Call ``register(cls)`` for every Reader: turns a file into records."""


@hookspec
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Call ``register(cls)`` for every FeatureExtractor: turns records into a view."""


@hookspec
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Call ``register(cls)`` for every Detector: gives each row of a view one score, larger = worse."""


@hookspec
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Call ``register(cls)`` for every Fuser: makes one score of the detectors' calibrated scores."""


@hookspec
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Call ``register(cls)`` for every Thresholder: finds the cut for a budget of false alarms."""


@hookspec
def register_classifiers(register: Callable[[type[Classifier]], None]) -> None:
    """Call ``register(cls)`` for every Classifier: the supervised stage after pseudo-labels."""


@hookspec
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Call ``register(cls)`` for every Metric: judges scores against labels."""


# --- observation ------------------------------------------------------------------------------------------------------


@hookspec
def on_event(event: Event) -> None:
    """Called in the engine's thread for every event of a run; an error is logged once and the observer dropped."""
