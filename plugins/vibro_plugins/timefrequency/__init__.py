"""Time-frequency maps of records."""
