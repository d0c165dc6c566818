"""Faults injected into records, and what detectors make of them."""
