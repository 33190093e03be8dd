"""The compiled module: loading, C++ calls, CUDA batches and torch.library ops."""
