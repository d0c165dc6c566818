"""Bundled features."""
