"""Training of the run: network, patches, options, and the result so far."""

from typing import Any

from bigearth_pipeline.report.page.blocks import Block, Cell, Section, Table, Text, Tiles
from bigearth_pipeline.report.page.numbers import NONE
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.run.words import number_at, value_words
from shards.metadata.manifest import VERSIONS, dataset_name
from shards.text.words import counted, duration, listed


def training(contents: RunContents) -> Section:
    """Return the section."""
    record, facts = contents.record, contents.record.to_json()
    tiles = [
        ("state", record.state),
        ("epochs", f"{len(record.epochs)} of {record.config.optimisation.epochs}"),
        ("best epoch", str(facts["best_epoch"] or NONE)),
        ("validation AP macro", _percent(facts["validation"]["ap_macro"])),
        ("test AP macro", _percent(facts["test"]["ap_macro"])),
        ("test F1 macro", _percent(facts["test"]["f1_macro"])),
        ("parameters", _count(facts["parameters"])),
        ("training and validation", NONE if record.seconds is None else duration(record.seconds)),
        ("patches/s, median", _count(facts["patches_per_second"])),
        ("waiting for the loader, median", _percent(facts["wait_share"])),
    ]
    blocks: list[Block] = [Text(_words(contents, facts)), Tiles(tiles), _options(contents)]
    versions = record.description.get("versions")
    if isinstance(versions, dict) and versions:
        rows = [[name, value_words(version)] for name, version in versions.items()]
        blocks.append(Table("versions-table", "Versions of the software", ["package", "version"], rows, folded=True))
    return Section("training", "What was trained, and how", blocks)


def _words(contents: RunContents, facts: dict[str, Any]) -> str:
    record, config = contents.record, contents.record.config
    about = record.description
    bands = config.data.bands
    counts = {split: number_at(about, "patches", split) for split in ("train", "validation", "test")}
    known = [f"{count:,.0f} {split}" for split, count in counts.items() if count is not None]
    version = about.get("source_version")
    data = "BigEarthNet of no version"
    if isinstance(version, str) and version in VERSIONS:
        data = dataset_name(version, synthetic=about.get("synthetic") is True)
    words = (
        f"Network {config.model.model} on {counted(len(bands), 'band')} ({listed(list(bands))}) of "
        f"{data}{', patches: ' + listed(known) if known else ''}. Optimiser {config.optimisation.optimizer}, "
        f"learning rate {config.optimisation.lr:g}, batches of {config.optimisation.batch_size}, seed "
        f"{config.run.seed}; trained on {value_words(facts['device'] or 'an unknown device')}."
    )
    if record.state != "finished":
        state = "A process trains it at the moment" if record.state == "running" else "It stopped before its end"
        words += f" {state}: what follows is what it has reached so far."
    best, epoch = facts["best_epoch"], None if contents.predictions is None else contents.found.about.get("epoch")
    if contents.predictions is not None and epoch != best:
        words += (
            f" The predictions are of epoch {value_words(epoch)}, the best checkpoint is of epoch {best or NONE}: "
            f"{contents.command} writes them anew."
        )
    return words


def _options(contents: RunContents) -> Table:
    rows = [
        [Cell(f"{table}.{name}"), Cell(value_words(value))]
        for table, options in contents.record.config.to_json().items()
        for name, value in options.items()
    ]
    return Table("options-table", f"All {len(rows)} options of the run", ["option", "value"], rows, folded=True)


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"
