"""Synthetic people: scenes with annotations in COCO format."""
