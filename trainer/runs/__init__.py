"""The folder of a run: configuration, checkpoints, results, TensorBoard. Reading and writing, no training."""
