"""The four ops and decode: one public file an op, over three implementations."""
