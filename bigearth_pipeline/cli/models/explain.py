"""The command `bep explain`. Importing this file costs no more than click; the rest is imported when it runs."""

from pathlib import Path
from typing import Any

import click

from bigearth_pipeline.cli.errors import reported
from bigearth_pipeline.cli.places import PLACE, Local
from bigearth_pipeline.cli.run_options import run_option
from trainer.explain.names import ALL

_path = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=_path)
@click.argument("inputs", metavar="[INPUT]...", nargs=-1)
@click.option("--random", metavar="N", type=int, help="Explain N patches of the split, drawn at random.")
@click.option("--worst", metavar="N", type=int, help="Explain the N patches of the split with the largest loss.")
@click.option("--class", "classes", metavar="NAME", multiple=True,
              help="Explain this class, and choose from patches that have it; a part of its name is enough; can be "
              "repeated.  [default: those that are predicted or labelled]")  # fmt: skip
@click.option(
    "--out", default="explained", show_default=True, metavar="DIR", type=Local(), help="Folder of the results."
)
@click.option(
    "--method", "methods", multiple=True, type=click.Choice(ALL), help="Method; can be repeated.  [default: all]"
)
@click.option("--split", default="test", show_default=True, type=click.Choice(["train", "validation", "test"]),
              help="Split that patches are chosen from and bands permuted in.")  # fmt: skip
@click.option("--shards", metavar="DIR", type=PLACE, help="Store to choose from.  [default: that of the run]")
@click.option("--allow-mixed-version", is_flag=True, help="Take a store of the other version of BigEarthNet.")
@click.option("--square", default=120, show_default=True, metavar="METRES", type=int,
              help="Side of the squares of occlusion: 60, 120, 240, 300 or 600.")  # fmt: skip
@click.option("--per-patch", default=3, show_default=True, type=click.IntRange(1, 43),
              help="Classes explained of each patch at most, without --class.")  # fmt: skip
@click.option("--patches", default=500, show_default=True, type=click.IntRange(2),
              help="Patches that bands are permuted among, at most.")  # fmt: skip
@click.option("--sanity/--no-sanity", default=True, show_default=True,
              help="Test whether the methods depend on the weights of the network.")  # fmt: skip
@click.option("--score", is_flag=True,
              help="Measure explanations: deletion and insertion, and agreement with reference maps.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of all that is random.")
@run_option("machine.device", help="Device to compute on.")
@click.option("--overwrite", is_flag=True, help="Replace the explanations in DIR.")
def explain(run: Path, inputs: tuple[str, ...], **options: Any) -> None:
    """Explain the scores of the best checkpoint of RUN by maps over patches and weights of bands.

    INPUT is a patch folder or tree of BigEarthNet, or the key of a patch in the run's store. DIR gets index.html, and
    for each patch a folder with pictures (.png) and arrays (attributions.npz).

    The time is spent on predictions: for each pair of a patch and a class occlusion takes 101 of them, band-occlusion
    one more than there are bands, integrated-gradients 32, or up to 928, with gradients (three times as long), --score
    about 550. The randomisation test (--sanity) explains up to 4 pairs on each of at least 5 networks; permutation
    predicts each of --patches 61 times for 12 bands. A prediction by bepnet-s took 5 ms of a core of an AMD EPYC
    (virtual, shared), and bep explain RUN --worst 2 --score on 291 test patches 144 s of processor time, 87 s of them
    for permutation. bep bench predict measures the predictions of a network.
    """
    with reported():
        from bigearth_pipeline.cli.display.console import echo
        from bigearth_pipeline.cli.display.phases import PhaseProgress
        from bigearth_pipeline.extra import EXPLANATIONS, require
        from bigearth_pipeline.report.explain.config import ExplainConfig
        from shards.text.words import counted
        from shards.text.words import patches as of_patches

        require(EXPLANATIONS, "explain")
        given = {name: value for name, value in options.items() if value not in (None, ())}
        config = ExplainConfig(run=run, inputs=inputs, **given)
        from bigearth_pipeline.report.explain.work import explain as work

        with PhaseProgress() as phases:
            results = work(config, phases)
        explained = results.explained
        done = f"{counted(len(explained.pairs), 'explanation')} of {of_patches(len(explained.patches))}"
        echo(f"{config.out}: {done}; the page is {config.out / 'index.html'}")
