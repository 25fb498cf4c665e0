"""Evaluation of a run on its validation split."""

from trainer.data.loader import Loader
from trainer.evaluation.measure import measure, predict
from trainer.metrics.metrics import Metrics
from trainer.metrics.thresholds import THRESHOLD
from trainer.runtime.precision import autocast
from trainer.runtime.progress import Phase, Progress
from trainer.training.session import Session
from trainer.training.step import Stepper


def validate(
    session: Session, stepper: Stepper, loader: Loader | None, phase: Phase, progress: Progress
) -> tuple[Metrics | None, dict[str, float]]:
    """Return the metrics of the network as it is now, and the thresholds that were tuned for them.

    Args:
        session: of the run.
        stepper: with the network.
        loader: of the validation split; None for a run without validation, whose thresholds are 0.5.
        phase: to report as.
        progress: receives the reports.
    """
    spec = session.model.spec
    if loader is None:
        return None, dict.fromkeys(spec.nomenclature.names, THRESHOLD)
    with autocast(session.config.machine.precision, session.ranks.device):
        predictions = predict(stepper.evaluated(), loader, session.ranks, phase=phase, progress=progress)
    return measure(*predictions, ignored=spec.ignored, nomenclature=spec.nomenclature)
