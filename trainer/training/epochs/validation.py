"""Evaluation of a run on its validation split."""

from trainer.data.loader import Loader
from trainer.evaluation.measure import measure, predict
from trainer.metrics.metrics import Metrics
from trainer.runtime.precision import autocast
from trainer.runtime.progress import Phase, Progress
from trainer.training.session import Session
from trainer.training.step import Stepper


def validate(
    session: Session, stepper: Stepper, loader: Loader, phase: Phase, progress: Progress
) -> tuple[Metrics, dict[str, float]]:
    """Return the metrics of the network as it is now, and the thresholds that were tuned for them.

    Args:
        session: of the run.
        stepper: with the network.
        loader: of the validation split.
        phase: to report as.
        progress: receives the reports.
    """
    with autocast(session.config.machine.precision, session.ranks.device):
        predictions = predict(stepper.evaluated(), loader, session.ranks, phase=phase, progress=progress)
    return measure(*predictions)
