"""The native implementation: loading of the compiled module, C++ calls, CUDA batches and torch.library ops."""
