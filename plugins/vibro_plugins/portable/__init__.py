"""How the bundled views, detectors and fusers score on a machine without vibro: numpy alone, for ``export``."""
