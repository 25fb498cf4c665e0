"""Explanations of the patches with the highest loss: what their scores depend on."""

from typing import Final

import numpy as np

from bigearth_pipeline.extra import EXPLANATIONS, is_installed
from bigearth_pipeline.progress import Phases
from bigearth_pipeline.report.page.blocks import Block, Code, Section, Text
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.scores.examples import first_of_each, losses
from trainer.errors import TrainError

_TITLE: Final = "What the scores of the worst patches depend on"


def explanations(contents: RunContents, samples: int, phases: Phases) -> Section:
    """Return the section; it says what is missing where nothing can be explained.

    Args:
        contents: of the run.
        samples: patches that are explained, those with the highest loss of different sets of labels.
        phases: receives a phase for each method.

    Raises:
        CorruptShard: a record is damaged.
    """
    return Section("explanations", _TITLE, tuple(_blocks(contents, samples, phases)))


def _blocks(contents: RunContents, samples: int, phases: Phases) -> list[Block]:
    if contents.store is None:
        return [Text(contents.no_store)]
    if not samples:
        return [Text("Explanations were left out on request.")]
    if not is_installed(EXPLANATIONS):
        return [
            Text("Captum is not installed, which explains scores."),
            Code("This command installs it:", "pip install 'bigearth-pipeline[explain]'"),
        ]
    # Captum and the network are loaded for this section alone.
    from bigearth_pipeline.report.explain.panel import panel
    from bigearth_pipeline.report.explain.patches import Chosen
    from trainer.explain.names import GRAD_CAM, INTEGRATED_GRADIENTS
    from trainer.inference import load

    more = Code(
        "More methods, patches and classes, and tests of the methods:",
        contents.command_for("explain", "--worst 5"),
    )
    try:
        predictor = load(contents.record.folder)
    except (TrainError, OSError):
        return [Text("The best checkpoint of the run cannot be read, so that nothing is explained."), more]
    found, epoch = contents.found, predictor.run.checkpoint.epoch
    if found.about.get("epoch") != epoch:
        return [
            Text(f"The predictions are not those of the best checkpoint, of epoch {epoch}: nothing is explained."),
            more,
        ]
    assert contents.rows is not None
    order = np.argsort(-losses(found.probabilities, found.labels), kind="stable")
    patches = [
        Chosen(
            key=found.keys[i],
            record=contents.store.read(int(contents.rows[i]), groups=()).s2,
            labels=found.labels[i],
        )
        for i in first_of_each(order, found.labels, samples)
    ]
    return [*panel(predictor, "explanations", patches, (), (GRAD_CAM, INTEGRATED_GRADIENTS), phases), more]
