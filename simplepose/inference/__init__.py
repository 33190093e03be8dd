"""Inference: detection of people in images and videos."""
