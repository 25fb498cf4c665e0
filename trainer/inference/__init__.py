"""Finished runs applied to records: one run or several, with or without flips and turns.

Measuring a network against labels belongs to `trainer.evaluation`; files of pixels and maps, to the application.
"""

from trainer.inference.ensemble import Ensemble, load_ensemble
from trainer.inference.predictor import Predictor, load
from trainer.inference.threads import one_thread_a_batch

__all__ = ["Ensemble", "Predictor", "load", "load_ensemble", "one_thread_a_batch"]
