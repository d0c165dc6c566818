"""Bundled detectors."""
