"""Durable files, tensors and the folders that vibro keeps."""
