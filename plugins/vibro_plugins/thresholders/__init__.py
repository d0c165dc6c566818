"""Bundled thresholders."""
