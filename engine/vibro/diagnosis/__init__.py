"""From "something is wrong" to "this is wrong": hypotheses about one record, each with its evidence."""
