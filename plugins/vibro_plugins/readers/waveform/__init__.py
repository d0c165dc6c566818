"""What readers of recordings share: names of fields and units, text encodings, tables of samples, time axes, channels."""
