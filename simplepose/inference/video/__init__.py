"""Videos and streams: reading and writing with PyAV, or with OpenCV where PyAV is not installed."""
