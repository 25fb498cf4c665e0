"""`bep show`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigearth_pipeline.cli.places import Local, check_name

if TYPE_CHECKING:
    from bigearth_pipeline.pictures.sheet import Row


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--row", "rows", metavar="N", type=int, multiple=True,
              help="Show row N of the index, counted from 0; can be repeated.")  # fmt: skip
@click.option("--random", metavar="N", type=click.IntRange(1), help="Draw N patches.  [default: 6]")
@click.option("--class", "label", metavar="NAME",
              help="Draw from patches that have this class; a part of its name is enough.")  # fmt: skip
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="Draw from this split.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the draw.")
@click.option("--bands", metavar="R,G,B",
              help="Three bands as red, green and blue.  [default: true colour, false colour and SWIR]")  # fmt: skip
@click.option("--out", type=Local(dir_okay=False), help="Write the sheet to this file, FILE.png.")
def show(
    folder: Path,
    keys: tuple[str, ...],
    rows: tuple[int, ...],
    random: int | None,
    label: str | None,
    split: str | None,
    seed: int,
    bands: str | None,
    out: Path | None,
) -> None:
    """Show patches of the store in DIR as pictures, with their labels.

    Without --out they appear in the terminal: as pictures where it can show them (kitty, Ghostty, iTerm2, WezTerm),
    else as coloured blocks; a pipe gets names and labels alone. Each band is stretched between its percentiles 1 and
    99 in the training split, so pictures of a store can be compared.
    """
    from bigearth_pipeline.cli.errors import reported

    with reported():
        from bigearth_pipeline.extra import PICTURES, require

        require(PICTURES)
        check_name(out, ".png")
        import shards
        from bigearth_pipeline.cli.display.console import echo
        from bigearth_pipeline.pictures.compose import COMPOSITIONS, composition_of
        from bigearth_pipeline.show.choose import Choice, chosen_rows
        from bigearth_pipeline.show.rows import row_of, stretch_of
        from shards.text.words import human_bytes

        compositions = COMPOSITIONS if bands is None else (composition_of(bands),)
        with shards.open(folder) as store:
            choice = Choice(keys=keys, rows=rows, random=random, label=label, split=split, seed=seed)
            patches = [store.read(int(row), groups=()) for row in chosen_rows(store.index, choice)]
            stretch = stretch_of(store)
            sheet = [row_of(patch, compositions, stretch) for patch in patches]
        if out is None:
            _print(sheet)
            return
        from bigearth_pipeline.pictures.sheet import sheet_png
        from shards.storage.atomic import atomic_write

        content = sheet_png(sheet)
        with atomic_write(out) as file:
            file.write(content)
        echo(f"{out}: {len(sheet):,} {'patch' if len(sheet) == 1 else 'patches'}, {human_bytes(len(content))}")


def _print(sheet: "list[Row]") -> None:
    """Print pictures and captions where stdout is a terminal, else the captions alone."""
    from bigearth_pipeline.cli.display.console import Console, echo, echo_words, notes_console
    from bigearth_pipeline.cli.display.pictures import blocks, iterm2, kitty, protocol
    from bigearth_pipeline.pictures.png import png
    from bigearth_pipeline.pictures.sheet import joined

    console = Console()
    for number, row in enumerate(sheet):
        if number:
            echo("")
        if console.is_terminal:
            way = protocol()
            if way == "blocks":
                for line in blocks(row.pictures, console.width):
                    # Made of brightness values alone, so nothing of a file is in it.
                    click.echo(line, color=True)
            else:
                side_by_side = png(joined(row.pictures))
                click.echo(kitty(side_by_side) if way == "kitty" else iterm2(side_by_side))
        for line in row.lines:
            echo_words(line)
    if not console.is_terminal:
        notes_console().print("pictures need a terminal, or --out FILE.png", soft_wrap=True)
