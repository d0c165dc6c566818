"""Arithmetic on score matrices: calibration, thresholds, verdicts, machines."""
