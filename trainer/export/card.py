"""The model card of an export: front matter that the Hugging Face hub reads, and text for people."""

from pathlib import Path
from typing import Any, Final

from shards.layout.bands import GROUP_OF
from shards.metadata.dataset import DATA_LICENCE, PAPERS
from shards.reporting import printable
from shards.text.words import counted, percentage
from trainer.definition.choices import MONITOR_WORDS
from trainer.export.scores import Interval, Measured
from trainer.inference.trained import TrainedRun
from trainer.metrics.intervals.bootstrap import LEVEL
from trainer.metrics.intervals.tiles import FEWEST_TILES
from trainer.models.classifier import Classifier
from trainer.models.weights_config import LIBRARY

_SCORES: Final = {
    "ap_macro": ("average_precision", "macro average precision"),
    "ap_micro": ("average_precision", "micro average precision"),
    "f1_macro": ("f1", "macro F1 at 0.5"),
    "f1_micro": ("f1", "micro F1 at 0.5"),
}
"""For each score the hub's type of metric, and its name for people."""
_TUNED: Final = {
    True: ", tuned on these patches",
    False: "",
    None: ", which may have been tuned on some of these patches",
}
"""Words on thresholds by whether they were tuned on the patches that are measured; None if nobody knows."""


def card(
    run: TrainedRun,
    network: Classifier,
    scores: list[Measured],
    *,
    name: str,
    files: dict[str, str],
    license: str | None = None,  # noqa: A002 (its name in front matter)
) -> str:
    """Return the text of `README.md`.

    Args:
        run: what is exported.
        network: of the run.
        scores: of the run, by split.
        name: of the model.
        files: what each file of the folder is, by name.
        license: of the weights, by the hub's identifier; None if whoever exports does not say.
    """
    parts = [
        f"---\n{_front_matter(scores, name, license)}\n---\n",
        f"# {name}\n",
        _summary(run, network),
        "## Files\n\n" + "\n".join(f"- `{file}`: {what}" for file, what in files.items()) + "\n",
        _use(name),
        _inputs(run, network),
        _classes(run, scores),
        *(_scores(each) for each in scores),
        _training(run),
        _limits(run),
        _licences(run, license),
    ]
    return "\n".join(parts)


def _front_matter(scores: list[Measured], name: str, licence: str | None) -> str:
    # Imported where it is needed: it takes half a second.
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="image-classification",
            task_name="multi-label land cover classification",
            dataset_type=f"bigearthnet-{each.source_version}{'-synthetic' if each.synthetic else ''}",
            dataset_name=f"{each.dataset}, Sentinel-2",
            dataset_split=each.split,
            metric_type=kind,
            metric_name=title,
            metric_value=round(value, 4),
            metric_args=_interval_json(each, score),
        )
        for each in scores
        for score, (kind, title) in _SCORES.items()
        if (value := getattr(each.metrics, score)) is not None
    ]
    data = ModelCardData(
        language=None,
        license=licence,
        library_name=LIBRARY,
        pipeline_tag="image-classification",
        tags=["bigearthnet", "sentinel-2", "remote-sensing", "land-cover", "multi-label-classification"],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


def _interval_json(scores: Measured, score: str) -> dict[str, Any] | None:
    found = _span(scores, score)
    if found is None or scores.intervals is None:
        return None
    return {
        "interval": [round(end, 4) for end in found],
        "level": LEVEL,
        "method": f"bootstrap over {scores.intervals.tiles.words}",
        scores.intervals.tiles.words.split()[-1]: scores.intervals.tiles.count,
    }


def _summary(run: TrainedRun, network: Classifier) -> str:
    parameters = sum(each.numel() for each in network.parameters())
    classes = network.spec.classes - len(network.spec.ignored)
    return (
        f"`{network.spec.name}` with {parameters:,} parameters, trained by `bep train` ({LIBRARY}) on Sentinel-2 "
        f"patches of {run.checkpoint.dataset}: {counted(len(network.spec.bands), 'band')} of a square of 1,200 m in, "
        f"probabilities of {classes} classes of land cover out, any number of which may be present.\n"
    )


def _use(name: str) -> str:
    return (
        "## Use\n\n"
        f"    bep predict {name} SCENE.SAFE --out map       # this folder, or hf://owner/name\n"
        f"    bep evaluate {name} --shards STORE\n\n"
        "Intended for research on land cover from Sentinel-2 Level-2A and as a baseline. Not for decisions about "
        "people, property or safety, and not as the only source of a map.\n"
    )


def _inputs(run: TrainedRun, network: Classifier) -> str:
    normalisation = run.checkpoint.normalisation
    rows = [
        f"| {band} | {GROUP_OF[band].metres} m | {centre:.6g} | {scale:.6g} |"
        for band, centre, scale in zip(normalisation.bands, normalisation.centre, normalisation.scale, strict=True)
    ]
    what = (
        "each band at its own resolution"
        if network.layout == "native"
        else (f"20 m and 60 m bands brought to 10 m ({run.trained.data.interpolation})")
    )
    clamp = ", cut to 0 … 1" if normalisation.clamp else ""
    return (
        "## Input\n\n"
        "Digital numbers of Level-2A as uint16, without the offset of processing baselines from 04.00 on "
        f"(subtract 1000 there); {what}. The network sees (value − centre) / scale{clamp}; files of ONNX and "
        "`.pt2` do that themselves.\n\n"
        "| band | resolution | centre | scale |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _classes(run: TrainedRun, scores: list[Measured]) -> str:
    thresholds = run.checkpoint.thresholds
    best = scores[0] if scores else None
    head = "| class | threshold |" + (f" average precision ({best.split}) | positives |" if best else "")
    lines = [head, "|---|---|" + ("---|---|" if best else "")]
    ignored = run.checkpoint.model.ignored
    for name in run.checkpoint.classes:
        if name in ignored:
            lines.append(f"| {name}, not trained: always 0 | |" + (" | |" if best else ""))
            continue
        line = f"| {name} | {0.5 if thresholds is None else thresholds[name]:.3f} |"
        if best:
            found = best.metrics.classes[name]
            span = None if best.intervals is None else best.intervals.classes[name]
            line += f" {_shown(found.ap, span)} | {found.positives:,} |"
        lines.append(line)
    is_tuned = thresholds and run.trained.data.validation
    how = "tuned on the validation split" if is_tuned else "none were tuned, so 0.5"
    return f"## Output\n\nProbabilities in this order. Thresholds: {how}.\n\n" + "\n".join(lines) + "\n"


def _scores(scores: Measured) -> str:
    lines = [
        f"| {title} | {_shown(getattr(scores.metrics, score), _span(scores, score))} |"
        for score, (_, title) in _SCORES.items()
    ]
    if scores.metrics.tuned is not None:
        here = _TUNED[scores.metrics.thresholds_tuned_here]
        lines.append(f"| macro F1 at the thresholds{here} | {_shown(scores.metrics.tuned.macro.f1, None)} |")
        lines.append(f"| micro F1 at the thresholds{here} | {_shown(scores.metrics.tuned.micro.f1, None)} |")
    which = f" where `{scores.where}`" if scores.where else ""
    how = (
        f"No intervals: predictions of patches of at least {FEWEST_TILES} known Sentinel-2 tiles do not lie beside "
        "these scores."
        if scores.intervals is None
        else f"In brackets: {percentage(LEVEL)} intervals by the bootstrap over {scores.intervals.tiles.count} "
        f"{scores.intervals.tiles.words}, each drawn with all of its patches."
    )
    return (
        f"## Scores on the {scores.split} split\n\n{counted(scores.metrics.count, 'patch', 'patches')} of "
        f"{scores.dataset}{which}. {how} Macro: mean over the classes that occur. Guessing has a macro average "
        f"precision of {_shown(scores.metrics.label_frequency, None)}.\n\n| score | value |\n|---|---|\n"
        + "\n".join(lines)
        + "\n"
    )


def _training(run: TrainedRun) -> str:
    checkpoint, options = run.checkpoint, run.trained
    subset = [f"`{options.data.where}`"] if options.data.where else []
    subset += [f"{percentage(options.data.fraction, 2)} of the train split"] if options.data.fraction else []
    subset += ["the patches of a list"] if options.data.patches else []
    chosen = f", only {', '.join(subset)}" if subset else ""
    names = "; ".join(checkpoint.model.ignored)
    ignored = f" Neither trained nor measured: {names}." if names else ""
    paper = ": drawn by chance" if checkpoint.synthetic else f"; {PAPERS[checkpoint.source_version]}"
    epochs = options.optimisation.epochs
    if options.data.validation:
        best = f"epoch {checkpoint.epoch}, the best of {epochs} by {MONITOR_WORDS[options.run.monitor]} on the "
        best += "validation split"
    else:
        best = f"the last epoch, {checkpoint.epoch} of {epochs}; nothing was validated"
    return (
        "## Training\n\n"
        f"- Data: train split of {checkpoint.dataset}{chosen}{paper}.{ignored}\n"
        f"- Shards with the manifest of SHA-256 `{checkpoint.manifest_sha256}`.\n"
        f"- Weights of {best}.\n"
        f"- Optimiser {options.optimisation.optimizer}, learning rate {options.optimisation.lr:g}, batches of "
        f"{options.optimisation.batch_size}, loss {options.optimisation.loss}. All options are in `config.json`.\n"
    )


def _limits(run: TrainedRun) -> str:
    other = {"v1": "v2", "v2": "v1"}[run.checkpoint.source_version]
    if run.checkpoint.synthetic:
        return (
            "## Limits\n\n"
            "- Trained on synthetic data, drawn by chance: of no use on real scenes, and scores say nothing about "
            "them.\n"
        )
    return (
        "## Limits\n\n"
        "- Ten European countries, June 2017 to May 2018, without clouds, shadows and snow unless the training options "
        "say otherwise; elsewhere and in other seasons scores are not known.\n"
        "- Labels follow from CORINE Land Cover 2018 with units of 25 ha: small areas are missing in them, and "
        "some are wrong or outdated.\n"
        "- Rare classes have few patches, and wide intervals.\n"
        f"- Do not test on BigEarthNet {other}: half of the test patches of v2 are train patches of v1.\n"
        "- Probabilities are as good as the calibration error of the scores says; thresholds are for the classes as "
        "frequent as in the validation split.\n"
    )


def _licences(run: TrainedRun, licence: str | None) -> str:
    weights = f"`{licence}`" if licence else "not stated by who exported them"
    if run.checkpoint.synthetic:
        return f"## Licences\n\n- Weights: {weights}.\n- Data: synthetic.\n"
    return (
        "## Licences\n\n"
        f"- Weights: {weights}.\n"
        f"- Data: BigEarthNet is licensed {DATA_LICENCE}; it contains modified Copernicus Sentinel data.\n"
    )


def _span(scores: Measured, score: str) -> Interval | None:
    span: Interval | None = None if scores.intervals is None else getattr(scores.intervals, score)
    return span


def _shown(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def name_of(out: Path) -> str:
    """Return the name of a model that is exported to a folder."""
    return printable(out.resolve().name) or "model"
