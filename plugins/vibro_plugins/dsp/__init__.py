"""Signal processing that several views share."""
