"""The stores and the run that tests of the trainer share."""

from tests.trainer.conftest import folder, no_new_threads, run, store, tiny

__all__ = ["folder", "no_new_threads", "run", "store", "tiny"]
