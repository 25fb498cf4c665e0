"""The help of all commands."""

from collections.abc import Iterator

import click
import numpy as np
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from trainer.data.augment.draw import draw
from trainer.definition.augmentation import Augmentation


def commands_of(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of a group and of all commands in it."""
    yield names
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands_of(command, *names, name)
        else:
            yield (*names, name)


def test_help_fits_into_80_columns() -> None:
    """Lines of a list that click does not wrap run into the next one."""
    found = list(commands_of(main))
    assert {(), ("report",), ("bench", "loader")} <= set(found)
    for words in found:
        told = CliRunner().invoke(main, [*words, "--help"], terminal_width=80)
        assert told.exit_code == 0, told.output
        assert [line for line in told.stdout.splitlines() if len(line) > 80] == [], words


def test_every_option_is_explained() -> None:
    """An option is a name and a type, from which nobody sees what it does, or whether it takes a file or a folder."""
    for words in commands_of(main):
        context, command = click.Context(main), main
        for word in words:
            found = command.get_command(context, word)
            assert found is not None
            context, command = click.Context(found, parent=context, info_name=word), found  # type: ignore[assignment]
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (words, option.opts)
                assert option.is_flag or option.make_metavar(context) not in {"PATH", "DIRECTORY"}, (words, option.opts)
        told = CliRunner().invoke(main, [*words, "--help"]).stdout
        assert "\n  [DIR]\n" not in told, words


def test_help_says_what_the_crop_resized_draws() -> None:
    """Shares of the area between those of whole cells are requested, and never come."""
    text = " ".join(CliRunner().invoke(main, ["train", "--help"]).output.split())
    assert "the crop resized enlarges; sides are odd numbers of cells of 60 m, or all 20." in text
    config = Augmentation(crop="resized", crop_scale=(0.01, 1.0))
    crop = draw(config, np.arange(4000), 12, 0, 0).crop
    assert crop is not None
    sides = crop[:, 2:]
    assert set(np.unique(sides)) == {*range(1, 20, 2), 20}
