"""The jobs behind the commands: run an ensemble into a directory, score with a model, decide anew from stored scores."""
