"""Training on shards: sample order, loader (decode threads → DALI), model, loop, metrics, checkpoints.

`trainer.cli:train` is the command `bep train`; `trainer.loop.train` does the same for a program. This file imports
nothing, so that the command line can ask for its help without torch or DALI.
"""
