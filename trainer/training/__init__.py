"""The training run: configuration, loop, checkpoints, resume, evaluation."""
