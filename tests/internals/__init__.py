"""Tests that may use private names: of what is compiled, its kernels, and the pool of threads."""
