"""`bep synth`: write a synthetic dataset."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Literal

import click

from bigearth_pipeline.cli.places import Local


@click.command()
@click.option(
    "--out", metavar="DIR", required=True, type=Local(file_okay=False), help="New or empty directory to write to."
)
@click.option("--patches", default=2000, show_default=True, type=click.IntRange(min=1), help="Number of patches.")
@click.option("--layout", default="v2", show_default=True, type=click.Choice(["v1", "v2"]), help="BigEarthNet version.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Same seed, same bytes.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one a core]")
def synth(out: Path, patches: int, layout: Literal["v1", "v2"], seed: int, workers: int | None) -> None:
    """Write a synthetic dataset in BigEarthNet's layout: band files, labels, splits and flags.

    Its spectra depend on the land cover, so that a model can learn the labels, and it compresses as the real one does.
    """
    from bigearth_pipeline.cli.errors import reported

    held = _holds_files(out)

    def interrupted() -> str:
        begun = not held and _holds_files(out)
        return f"{out} is incomplete; delete it before another try" if begun else ""

    with reported(interrupted):
        from bigearth_pipeline.cli.display.console import echo_next
        from bigearth_pipeline.cli.display.patches import PatchProgress
        from bigearth_pipeline.synth.dataset import write_dataset
        from shards.reporting import RESULTS_KEPT
        from shards.text import words

        with PatchProgress("drawing") as progress:
            summary = write_dataset(out, patches=patches, layout=layout, seed=seed, workers=workers, progress=progress)
        click.get_current_context().meta[RESULTS_KEPT] = True
    click.echo(
        f"{out}: {words.patches(summary.patches)} in layout {layout}, {summary.size_bytes / 1e6:,.1f} MB of GeoTIFFs "
        f"({summary.flagged} with snow or cloud, {summary.classless} without any of the 19 classes)"
    )
    data, store = (shlex.quote(str(path)) for path in (out, out.with_name(f"{out.name}-shards")))
    echo_next(f"bep build-shards {data} --out {store}")


def _holds_files(folder: Path) -> bool:
    with suppress(OSError):
        return any(folder.iterdir())
    return False
