"""The result of a run: the scores of its best checkpoint, on the test split where that was asked for."""

from trainer.errors import BadCheckpoint
from trainer.evaluation.measure import measure, predict
from trainer.metrics.metrics import Metrics
from trainer.runs import folder as run_folder
from trainer.runs import results
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.predictions import Predictions
from trainer.runs.results import Evaluation
from trainer.runs.state import Result, State
from trainer.runtime.precision import autocast
from trainer.runtime.progress import Phase, Progress
from trainer.runtime.stop import Request
from trainer.training.session import Session


def result(session: Session, state: State, stopped_by: Request | None, progress: Progress, *, writes: bool) -> Result:
    """Return the result of a run; one that has reached its end is evaluated on the test split if it is to be.

    Args:
        session: of the run.
        state: of the run.
        stopped_by: what stopped it before its end, or None.
        progress: receives the reports of the evaluation.
        writes: whether this rank writes files.

    Raises:
        BadCheckpoint: the best checkpoint cannot be read.
        NotWritten: the results on the test split cannot be written.
    """
    if not state.best_epoch:
        return Result(stopped_by, None, None)
    config, ranks = session.config, session.ranks
    path = config.run.out / run_folder.BEST
    best = Checkpoint.read(path)
    validation = None
    try:
        if config.data.validation:
            validation = Metrics.from_json(best.metrics or {}, best.classes)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise BadCheckpoint(f"{path} does not hold the metrics of an epoch: {err!r}") from err
    if stopped_by is not None or not config.run.test:
        return Result(stopped_by, best.epoch, validation)
    with session.loader("test") as loader, autocast(config.machine.precision, ranks.device):
        predictions = predict(
            best.create_model(path).to(ranks.device), loader, ranks, phase=Phase("test"), progress=progress
        )
    spec = best.model
    metrics, _ = measure(*predictions, thresholds=best.thresholds, ignored=spec.ignored, nomenclature=spec.nomenclature)
    selection = session.selection("test")
    test = Evaluation.of(metrics, selection, epoch=best.epoch, trained_on=best.source_version)
    if writes:
        found = Predictions.of(selection.keys(), *predictions, best.thresholds, spec.ignored, spec.nomenclature)
        results.write(config.run.out, test, found, own=True)
    return Result(None, best.epoch, validation, test.metrics, test.about)
