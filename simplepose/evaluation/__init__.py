"""COCO AP and AR of a checkpoint or of the decoder alone."""
