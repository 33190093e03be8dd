"""Annotation and image files, augmentation, training samples and targets."""
