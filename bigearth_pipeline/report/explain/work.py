"""Explanations from beginning to end: patches are chosen, explained, tested, scored and written."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import shards
from bigearth_pipeline.extra import EXPLANATIONS, PAGES, require
from bigearth_pipeline.progress import Phases
from bigearth_pipeline.report.explain import files
from bigearth_pipeline.report.explain.config import ExplainConfig
from bigearth_pipeline.report.explain.explained import Explained, explain_patches
from bigearth_pipeline.report.explain.page import Results, verdicts
from bigearth_pipeline.report.explain.patches import Chosen, of_inputs, of_split, records_of
from bigearth_pipeline.scenes.gdal import gdal_environment
from shards import Store
from trainer.errors import TrainError
from trainer.explain.methods.permutation import Importance, num_predicted, permutation
from trainer.explain.methods.registry import methods
from trainer.explain.names import PERMUTATION
from trainer.explain.sanity.cascade import explanations, randomisation_test
from trainer.explain.score.agreement import Agreement, agreement
from trainer.explain.score.faithfulness import faithfulness, num_orders
from trainer.explain.side_by_side import side_by_side
from trainer.inference import Predictor, hub, load
from trainer.runs.beginning import check_place
from trainer.runs.store_place import find_store, store_of

TESTED: Final = 4
"""Pairs of a patch and a class that the randomisation test takes at most."""


def explain(config: ExplainConfig, phases: Phases) -> Results:
    """Explain patches and write the results.

    Raises:
        PipelineError: an input cannot be used, the folder holds something else, or a library is absent.
        TrainError: the run cannot be used, no method can explain it, or the folder is or lies in a run or a store.
        ShardError: a store is damaged.
        InUse: another process makes explanations in the folder.
        OSError: a file cannot be read or written.
    """
    require(PAGES)
    require(EXPLANATIONS, "explain")
    check_place(config.out)
    files.check_out(config.out, overwrite=config.overwrite)
    with files.held(config.out), ExitStack() as stack:
        # Another process may have written there since the first look.
        files.check_out(config.out, overwrite=config.overwrite)
        stack.enter_context(gdal_environment())
        predictor = load(config.run, device=config.device)
        config = config.with_names(predictor.nomenclature)
        store = _store(config, predictor)
        if store is not None:
            stack.enter_context(store)
            run = predictor.run
            run.checkpoint.check_version(run.path, store.manifest, allow_mixed=config.allow_mixed_version)
        if config.inputs:
            patches = of_inputs(config, store, predictor.bands, predictor.nomenclature)
        else:
            assert store is not None
            logits = _side_by_side(predictor)
            patches = of_split(
                config,
                store,
                lambda records: logits(records).sigmoid().numpy(),
                phases,
                predictor.measured,
                predictor.nomenclature,
            )
        results = _explain(config, predictor, store, patches, phases)
        files.write(config.out, results, {"run": predictor.about, "seed": config.seed}, phases)
    return results


def _store(config: ExplainConfig, predictor: Predictor) -> Store | None:
    """Open the store of the run, or the one that the user names; None if it is absent and no input needs it."""
    written = predictor.run.written
    if config.shards is None and written is None:
        if config.inputs:
            return None
        raise TrainError(
            f"{hub.shown(config.run)} is an export, which knows no store to choose patches from; use `shards=DIR`"
        )
    if config.shards is not None:
        return shards.open(config.shards)
    assert written is not None
    if config.inputs and find_store(written.data.shards, config.run) is None:
        return None
    return shards.open(store_of(written.data.shards, config.run, _with_shards(config)))


def _with_shards(config: ExplainConfig) -> str:
    """Return the options that name another store and choose the same patches."""
    options: list[tuple[str, object]] = [("run", config.run), *(("inputs", text) for text in config.inputs)]
    options += [("shards", "DIR"), *(("classes", name) for name in config.classes)]
    options += [(name, value) for name in ("random", "worst") if (value := getattr(config, name)) is not None]
    return " ".join(f"`{name}={value}`" for name, value in options)


def _explain(
    config: ExplainConfig, predictor: Predictor, store: Store | None, patches: list[Chosen], phases: Phases
) -> Results:
    chosen = {name: method for name, method in methods(config.square).items() if name in config.methods}
    explained = explain_patches(
        predictor, patches, chosen, classes=config.classes, per_patch=config.per_patch, phases=phases
    )
    notes = [f"{name}: {reason}" for name, reason in explained.impossible.items()]
    importance = None
    if PERMUTATION in config.methods and store is None:
        notes.append(f"{PERMUTATION}: there is no store to permute bands in")
    elif PERMUTATION in config.methods and store is not None:
        importance = _permutation(config, predictor, store, phases)
    if not explained.maps and importance is None:
        raise TrainError("; ".join(notes) or "no method is left")
    able = {name: method for name, method in chosen.items() if name in explained.maps}
    sanity = {}
    if config.sanity and able:
        inputs, targets, first = explained.first(TESTED)
        total = explanations(explained.subject, len(able), len(targets))
        phases.begin("randomisation test", total, "explanation")
        sanity = randomisation_test(
            explained.subject, inputs, targets, able, first, seed=config.seed, done=phases.advance
        )
        for line in verdicts(sanity):
            phases.say(line)
    for note in notes:
        phases.say(note)
    scores = {}
    if config.score and able:
        numbers = np.array([number for number, _ in explained.pairs])
        phases.begin(
            "deletion and insertion", num_orders(explained.maps, len(numbers)), "order of parts", "orders of parts"
        )
        scores = faithfulness(
            explained.subject,
            explained.inputs,
            explained.targets,
            numbers,
            explained.maps,
            seed=config.seed,
            done=phases.advance,
        )
    return Results(
        run=config.run.resolve().name,
        model=predictor.network.spec.name,
        explained=explained,
        importance=importance,
        sanity=sanity,
        scores=scores,
        agreement=_agreements(explained) if config.score else {},
        notes=tuple(notes),
    )


def _permutation(config: ExplainConfig, predictor: Predictor, store: Store, phases: Phases) -> Importance:
    rows = store.index.rows(config.split)
    if len(rows) > config.patches:
        rows = np.sort(np.random.default_rng(config.seed).choice(rows, config.patches, replace=False))
    labels = store.index.labels(predictor.nomenclature)[rows] * predictor.measured.astype(np.uint8)
    phases.begin(PERMUTATION, num_predicted(len(rows), len(predictor.bands)), "predicted patch", "predicted patches")
    return permutation(
        _side_by_side(predictor),
        records_of(store, rows),
        labels,
        predictor.bands,
        seed=config.seed,
        done=phases.advance,
    )


def _side_by_side(predictor: Predictor) -> Callable[[NDArray[np.uint16]], Tensor]:
    """Return `predictor.record_logits` with a batch for each core at a time."""
    size = predictor.batch_size

    def logits(records: NDArray[np.uint16]) -> Tensor:
        batches = [records[start : start + size] for start in range(0, len(records), size)]
        return torch.cat(side_by_side(predictor.record_logits, batches, predictor.device))

    return logits


def _agreements(explained: Explained) -> dict[str, list[tuple[int, Agreement]]]:
    found: dict[str, list[tuple[int, Agreement]]] = {}
    for name, maps in explained.maps.items():
        for pair, (number, label) in enumerate(explained.pairs):
            reference = explained.patches[number].reference
            if maps.pixels is None or reference is None or not (reference == label).any():
                continue
            found.setdefault(name, []).append((pair, agreement(maps.pixels[pair], reference == label)))
    return found
