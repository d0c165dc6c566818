"""Evaluating scores against labels: metrics, baselines, splits and pools, and the comparison of detector combinations."""
