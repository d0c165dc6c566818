"""Bundled readers."""
