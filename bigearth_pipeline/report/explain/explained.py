"""Patches with their explanations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_pipeline.progress import Phases, Silent
from bigearth_pipeline.report.explain.patches import Chosen
from shards.errors import InvalidValue
from trainer.explain.maps import Maps
from trainer.explain.methods.registry import Method, explained_by
from trainer.explain.subject import CannotExplain, Inputs, Subject
from trainer.inference import Predictor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """Explanations of pairs of a patch and a class.

    Attributes:
        patches: the patches.
        probabilities: (patches, C) float32.
        pairs: (number of the patch, number of the class) of each of N pairs, patch by patch.
        maps: N attributions, by name of method.
        classes: names of the C classes.
        impossible: reasons, by name of method that cannot explain this network.
        bands: names of the bands, in the order of `Maps.bands`.
        subject: the network.
        inputs: N images of each kind.
        targets: (N,) int64.
    """

    patches: Sequence[Chosen]
    probabilities: NDArray[np.float32]
    pairs: Sequence[tuple[int, int]]
    maps: dict[str, Maps]
    bands: tuple[str, ...]
    subject: Subject
    inputs: Inputs
    targets: torch.Tensor
    classes: tuple[str, ...]
    impossible: dict[str, str] = field(default_factory=dict)

    def of_patch(self, patch: int) -> list[int]:
        """Return the numbers of the pairs of a patch."""
        return [i for i, (number, _) in enumerate(self.pairs) if number == patch]

    def first(self, count: int) -> tuple[Inputs, torch.Tensor, dict[str, Maps]]:
        """Return images, classes and attributions of the first pairs."""
        maps = {name: each.rows(slice(count)) for name, each in self.maps.items()}
        return tuple(image[:count] for image in self.inputs), self.targets[:count], maps


def explain_patches(
    predictor: Predictor,
    patches: Sequence[Chosen],
    methods: dict[str, Method],
    *,
    classes: Sequence[str] = (),
    per_patch: int = 3,
    phases: Phases | None = None,
    check: Callable[[], None] = lambda: None,
) -> Explained:
    """Explain patches by methods.

    Args:
        predictor: the run.
        patches: at least one.
        methods: by name.
        classes: names of the classes to explain; empty for those that are predicted or labelled, the most likely ones
            first, and the most likely class of a patch without any.
        per_patch: classes of a patch at most, where none is named.
        phases: receives a phase for each method; None for no reports.
        check: called before each pass through the network; what it raises ends the work.

    Raises:
        InvalidValue: a class is named that the run was not trained for.
    """
    phases = phases or Silent()
    records = np.stack([patch.record for patch in patches])
    probabilities = predictor.probabilities(records)
    subject = Subject(predictor.network, predictor.normalisation)
    subject.register_forward_pre_hook(lambda *_: check())
    ignored = predictor.network.spec.ignored
    if wrong := [name for name in classes if name in ignored]:
        raise InvalidValue(
            f"{predictor.run.folder} was not trained for {wrong[0]} (data.ignore_labels); name other classes"
        )
    limits = np.array([predictor.thresholds[name] for name in predictor.classes])
    pairs = []
    for number, patch in enumerate(patches):
        chosen = [predictor.classes.index(name) for name in classes]
        labels = None if patch.labels is None else patch.labels * predictor.measured.astype(np.uint8)
        pairs += [(number, each) for each in chosen or _chosen(probabilities[number], limits, labels, per_patch)]
    images = [
        subject.inputs(predictor.prepare(records[start : start + predictor.batch_size]))
        for start in range(0, len(records), predictor.batch_size)
    ]
    rows = torch.tensor([number for number, _ in pairs], device=subject.device)
    inputs = tuple(torch.cat([batch[i] for batch in images])[rows] for i in range(len(subject.images)))
    targets = torch.tensor([each for _, each in pairs], device=subject.device)
    maps, impossible = {}, {}
    for name, method in methods.items():
        try:
            maps[name] = _by_method(name, method, subject, inputs, targets, phases)
        except CannotExplain as err:
            impossible[name] = str(err)
    return Explained(
        patches=patches,
        probabilities=probabilities,
        pairs=pairs,
        maps=maps,
        bands=subject.bands,
        subject=subject,
        inputs=inputs,
        targets=targets,
        classes=predictor.classes,
        impossible=impossible,
    )


def _by_method(
    name: str, method: Method, subject: Subject, inputs: Inputs, targets: torch.Tensor, phases: Phases
) -> Maps:
    phases.begin(name, len(targets), "pair of patch and class", "pairs of patch and class")
    return explained_by(name, method, subject, inputs, targets, phases.advance)


def _chosen(
    probabilities: NDArray[np.float32], limits: NDArray[np.float64], labels: NDArray[np.uint8] | None, most: int
) -> list[int]:
    wanted = probabilities >= limits
    if labels is not None:
        wanted |= labels.astype(np.bool_)
    order = np.argsort(-probabilities, kind="stable")
    return [int(each) for each in order if wanted[each]][:most] or [int(order[0])]
