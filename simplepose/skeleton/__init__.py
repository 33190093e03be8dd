"""Skeletons: keypoints, parts, symmetry and OKS sigmas as frozen data."""
