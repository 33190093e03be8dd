"""File access: atomic writes and stored arrays."""
