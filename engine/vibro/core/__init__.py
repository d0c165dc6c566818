"""Fits detectors and combines their scores; knows neither files nor terminals."""
