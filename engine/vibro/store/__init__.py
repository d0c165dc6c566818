"""What a run leaves on disk: run directory, tables, manifest, model bundle."""
