"""The kinds of random tests that `scripts/fuzz.py` runs."""
