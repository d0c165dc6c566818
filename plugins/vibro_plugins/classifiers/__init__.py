"""Bundled classifiers."""
