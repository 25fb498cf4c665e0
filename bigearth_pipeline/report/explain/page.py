"""The page of explanations: patches, weights of bands, tests of the methods, scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bigearth_pipeline.report.explain.explained import Explained
from bigearth_pipeline.report.explain.panel import blocks
from bigearth_pipeline.report.page.blocks import Block, Cell, Page, Section, Table, Text, Tiles
from bigearth_pipeline.report.page.numbers import NONE, number_cell
from shards.text.words import counted, patches
from trainer.explain.methods.permutation import Importance
from trainer.explain.sanity.cascade import FAILS_ABOVE, Cascade
from trainer.explain.score.agreement import Agreement
from trainer.explain.score.faithfulness import Faithfulness, Gain
from trainer.metrics.intervals.tiles import FEWEST_TILES

_FEWEST: Final = FEWEST_TILES
"""Of what is resampled, patches here, as of tiles there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All that was found.

    Attributes:
        run: name of the run.
        model: name of its network.
        explained: explanations of the patches.
        importance: of bands over a split; None if not requested, or without a store.
        sanity: by name of method; empty if not requested.
        scores: likewise.
        agreement: of maps with reference maps: (number of the pair, agreement), by name of method.
        notes: lines on what could not be done.
    """

    run: str
    model: str
    explained: Explained
    importance: Importance | None = None
    sanity: Mapping[str, Cascade] = field(default_factory=dict)
    scores: Mapping[str, list[Faithfulness]] = field(default_factory=dict)
    agreement: Mapping[str, list[tuple[int, Agreement]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def page_of(results: Results) -> Page:
    """Return the page."""
    explained = results.explained
    name = results.run if results.run.lower().startswith("run") else f"run {results.run}"
    tiles = Tiles((
        ("network", results.model),
        ("patches", f"{len(explained.patches):,}"),
        ("patch and class", counted(len(explained.pairs), "pair")),
        ("methods", f"{len(explained.maps) + (results.importance is not None)}"),
    ))  # fmt: skip
    sections = [
        Section("overview", "Overview", [tiles, *(Text(note) for note in results.notes)]),
        Section("patches", "Patches", blocks(explained, "patches")),
    ]
    if results.importance is not None:
        sections.append(
            Section("permutation", "Bands over the split", [_importance(results.importance, explained.classes)])
        )
    if results.sanity:
        sections.append(Section("sanity", "Do explanations depend on the weights?", _sanity(results.sanity)))
    if results.scores:
        sections.append(Section("scores", "Do named parts matter?", [_scores(results.scores)]))
    if results.agreement:
        sections.append(Section("agreement", "Agreement with the reference map", [_agreement(results)]))
    return Page(
        title=f"Explanations of {name}",
        summary=f"{results.model} on {patches(len(explained.patches))}.",
        sections=sections,
        source=f"Made by bep explain of the best checkpoint of {name}.",
    )


def verdicts(sanity: Mapping[str, Cascade]) -> list[str]:
    """Return a line for each method on whether it depends on the weights."""
    lines = []
    for method, cascade in sanity.items():
        if cascade.fails is None:
            lines.append(
                f"{method} cannot be tested by randomisation: its explanations of the trained network are the same "
                "everywhere; name other patches or classes"
            )
            continue
        last = cascade.likeness[-1]
        ssim = "" if last.ssim is None else f", SSIM {number_cell(last.ssim).text}"
        verdict = "fails" if cascade.fails else "passes"
        lines.append(
            f"{method} {verdict} the randomisation test: rank correlation {number_cell(last.rank).text}{ssim} with "
            f"explanations of the untrained network ({counted(cascade.pairs, 'pair')}; the bound is ±{FAILS_ABOVE:g})"
        )
    return lines


def _importance(found: Importance, classes: Sequence[str]) -> Table:
    rows: list[list[Cell | str]] = [
        [classes[i], number_cell(found.precision[i], 3), *(number_cell(value, 3) for value in found.loss[i])]
        for i in range(len(classes))
        if not math.isnan(found.precision[i])
    ]
    most = max((float(value) for row in found.spread for value in row if not math.isnan(value)), default=0.0)
    caption = (
        f"Loss of average precision (AP) of each class where a band is taken from other patches, over "
        f"{patches(found.patches)}; means of permutations, whose standard deviation is {most:.3f} at most. Bands that "
        "tell the same replace each other, so a small loss is no proof that a band is not used."
    )
    return Table("permutation-table", caption, ["class", "AP", *found.bands], rows, dense=True)


def _sanity(sanity: Mapping[str, Cascade]) -> list[Block]:
    rows: list[list[Cell | str]] = [
        [method, layer, number_cell(each.rank), number_cell(each.ssim)]
        for method, cascade in sanity.items()
        for layer, each in zip(cascade.layers, cascade.likeness, strict=cascade.pairs > 0)
    ]
    caption = (
        "Likeness of explanations to the first ones while layers get the weights of an untrained network, from the "
        "scores downwards (Adebayo et al., arXiv:1810.03292): rank correlation and structural similarity (SSIM), means "
        "over pairs of patch and class whose first explanation has differences. A method fails if the last rank "
        "correlation is beyond the bound."
    )
    verdict = [Text(f"{line}.") for line in verdicts(sanity)]
    return [*verdict, Table("sanity-table", caption, ["method", "randomised down to", "rank", "SSIM"], rows)]


def _scores(scores: Mapping[str, list[Faithfulness]]) -> Table:
    rows: list[list[Cell | str]] = [
        [
            method,
            each.kind,
            number_cell(each.deletion, 3),
            _gain(each.deletion_gain, each.patches),
            number_cell(each.insertion, 3),
            _gain(each.insertion_gain, each.patches),
        ]
        for method, found in scores.items()
        for each in found
    ]
    caption = (
        "Areas under the curves of a class's probability while pixels (in cells of 60 m) or bands are deleted or "
        "inserted in the order of an explanation (Petsiuk et al., arXiv:1806.07421), and the gain over random orders "
        "with its 95 % interval by bootstrap over patches, for which there must be "
        f"{_FEWEST} of them or more. Above 0, the explanation names parts that matter."
    )
    columns = ["method", "parts", "deletion", "gain over random", "insertion", "gain over random "]
    return Table("scores-table", caption, columns, rows)


def _gain(gain: Gain, patches: int) -> str:
    interval = "" if patches < _FEWEST or math.isnan(gain.low) else f" ({gain.low:+.3f} to {gain.high:+.3f})"
    return f"{gain.mean:+.3f}{interval}".replace("-", "−")


def _agreement(results: Results) -> Table:
    rows: list[list[Cell | str]] = []
    for method, found in results.agreement.items():
        for pair, each in found:
            number, label = results.explained.pairs[pair]
            rows.append([
                method,
                results.explained.patches[number].key,
                results.explained.classes[label],
                "hit" if each.hit else "miss",
                number_cell(each.share) if not math.isnan(each.share) else NONE,
                number_cell(each.area),
                number_cell(each.iou),
            ])  # fmt: skip
    caption = (
        "Pointing game (hit: the largest value lies on the class), share of the attribution above 0 that lies on the "
        "class, share of the patch that the class covers (what a map without knowledge reaches), and intersection over "
        "union of the class with as many pixels of the largest values."
    )
    return Table(
        "agreement-table", caption, ["method", "patch", "class", "pointing", "on the class", "area", "IoU"], rows
    )
