"""Finds, loads, checks and isolates plugins."""
