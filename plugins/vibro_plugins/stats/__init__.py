"""Statistics that several components share."""
