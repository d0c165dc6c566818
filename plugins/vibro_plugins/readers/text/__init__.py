"""What the readers of text formats share: strict lines, strict JSON, a strict grammar of numbers, fields of a record."""
