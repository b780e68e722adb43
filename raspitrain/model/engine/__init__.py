"""Who does the arithmetic of a network: compiled kernels, torch operations, or its modules."""
