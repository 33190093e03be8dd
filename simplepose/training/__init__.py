"""Training: configuration, loss, loop, resuming and distributed runs."""
