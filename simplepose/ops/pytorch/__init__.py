"""Vectorized PyTorch implementation, on any device (backend "torch")."""
