"""Files: atomic writes and stored arrays."""
