"""The normative implementation in NumPy: every other one must give its bits."""
