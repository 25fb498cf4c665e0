"""`bep quickstart`."""

import shlex
from pathlib import Path
from typing import Any

import click

from bigearth_pipeline.cli.errors import reported
from bigearth_pipeline.cli.output_options import STEP
from bigearth_pipeline.cli.places import Local


@click.command()
@click.option(
    "--out",
    metavar="DIR",
    default="bep-quickstart",
    show_default=True,
    type=Local(file_okay=False),
    help="New or empty directory for data, shards and the run.",
)
@click.option("--patches", default=1200, show_default=True, type=click.IntRange(min=100), help="Synthetic patches.")
@click.option("--epochs", help="Passes over the train split.", default=3, show_default=True, type=click.IntRange(min=1))
@click.pass_context
def quickstart(ctx: click.Context, out: Path, patches: int, epochs: int) -> None:
    """Try it all: synthetic patches → shards → a trained CNN → its metrics on the test split.

    Takes about a minute on two CPU cores; with an NVIDIA GPU the CNN is trained there.
    """
    data, store, run = out / "data", out / "shards", out / "run"
    with reported():
        if out.exists() and any(out.iterdir()):
            raise click.ClickException(f"{out} is not empty; name another directory with --out, or delete it")
        # What an installation lacks is known before the first step.
        import trainer.training.start  # noqa: F401
    # As a shell takes them, for a folder may have blanks in its name.
    shown = {path: shlex.quote(str(path)) for path in (data, store, run)}
    steps: list[tuple[str, str, dict[str, Any]]] = [
        (f"bep synth --out {shown[data]} --patches {patches}", "synth", {"out": data, "patches": patches}),
        (
            f"bep build-shards {shown[data]} --out {shown[store]}",
            "build-shards",
            {"sources": (str(data),), "out": store},
        ),
        (
            f"bep train {shown[store]} --out {shown[run]} --epochs {epochs} --batch-size 64 --test",
            "train",
            {"shards": store, "out": run, "epochs": epochs, "batch_size": 64, "test": True},
        ),
    ]
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    ctx.meta[STEP] = True
    for number, (line, name, options) in enumerate(steps, 1):
        click.secho(f"\n[{number}/{len(steps)}] {line}", bold=True)
        command = group.get_command(ctx, name)
        assert command is not None
        # `invoke` adds the defaults of the options that are not given.
        ctx.invoke(command, **options)
    click.secho("\nThat was all of it. With the real dataset (BigEarthNet v2, unpacked) the same is:", bold=True)
    click.echo("  bep build-shards BigEarthNet-S2 --out store")
    click.echo("  bep train store --out runs/first --test")
    look = (f"inspect {shown[store]}", f"verify {shown[store]} --against {shown[data]}", f"bench build {shown[data]}")
    click.echo(f"To look around here: {', '.join(f'bep {each}' for each in look)}")
