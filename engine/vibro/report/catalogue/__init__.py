"""What else the catalogue holds: errors with their hints, help of the commands, evidence of a diagnosis, benchmark's report."""
