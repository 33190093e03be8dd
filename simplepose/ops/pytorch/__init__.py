"""The vectorized PyTorch implementation of the ops, for any device (backend "torch")."""
