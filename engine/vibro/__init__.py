"""vibro: an ensemble of anomaly detectors over vibration records, one verdict a record."""

from __future__ import annotations

from vibro.hookspecs import hookimpl

__version__ = "0.1.0"
__all__ = ["__version__", "hookimpl"]
