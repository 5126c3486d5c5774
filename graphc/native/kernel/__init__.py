"""Fused kernels: from a body of nodes to loops over rows of vectors."""
