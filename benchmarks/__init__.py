"""Figures of vibro, each made by a command and written to ``benchmarks/results``."""
