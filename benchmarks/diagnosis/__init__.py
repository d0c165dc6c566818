"""What labels, rules and machine knowledge add to a verdict."""
