"""The network IMHN, its checkpoints, conversion, export and preparation for inference."""
