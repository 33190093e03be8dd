"""Adapters to other packages: maps that their networks make, and the types in which they hold poses."""
