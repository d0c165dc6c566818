"""Simulated records with known faults: a plant, its operating state, its faults, its signals."""

from __future__ import annotations

from vibro.simulate.simulate import PRESETS, Simulated, simulate
from vibro.simulate.write import to_batch, write

__all__ = ["PRESETS", "Simulated", "simulate", "to_batch", "write"]
