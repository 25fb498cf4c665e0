"""The parts that a session is put together from, beside the store: the network and the normalisation.

What they work on together belongs to `trainer.training.session`.
"""
