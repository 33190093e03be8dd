"""The normative implementation in NumPy: all other implementations must give the same bits."""
