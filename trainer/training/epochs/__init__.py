"""The end of an epoch: its score, the best epoch so far, the checkpoints that are kept, and an early end.

What a step does belongs to `trainer.training.step`; files and their names to `trainer.runs`.
"""
