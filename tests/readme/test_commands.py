"""Commands of the README: each is parsed with the options that `bep` has, and none is executed."""

import shlex

import click
import pytest

from bigearth_pipeline.cli import main
from tests.readme.text import command_lines, commands_in_sentences


def parse(line: str, *, complete: bool) -> None:
    """Parse what follows `bep`; without `complete`, arguments and the value of the last option may be absent.

    Raises:
        ClickException: `bep` would refuse it.
    """
    words = shlex.split(line, comments=True)
    context, command = click.Context(main, info_name="bep"), main
    while isinstance(command, click.Group):
        if not words and not complete:
            return
        _, command, words = command.resolve_command(context, words)
        assert command is not None
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=command.name, parent=context)
    try:
        command.make_context(command.name, list(words), parent=context)
    except click.exceptions.Exit:  # --help
        return
    except click.MissingParameter:
        if complete:
            raise
    except click.BadOptionUsage as err:
        if complete or err.option_name != words[-1]:
            raise


@pytest.mark.parametrize("line", command_lines())
def test_commands_parse(line: str) -> None:
    """A newcomer copies a command that `bep` refuses."""
    parse(line, complete=True)


@pytest.mark.parametrize("line", sorted(set(commands_in_sentences())))
def test_commands_in_sentences_parse(line: str) -> None:
    """A sentence names a command or an option that there is not."""
    parse(line, complete=False)


def test_commands_are_found() -> None:
    """The README is written in another way, and nothing is tested."""
    assert len(command_lines()) > 30
    assert len(set(commands_in_sentences())) > 20


@pytest.mark.parametrize(
    "line", ["trainn store", "train store --ot run", "build-shards source", "synth --patches many"]
)
def test_wrong_commands_do_not_parse(line: str) -> None:
    """Whatever is written passes."""
    with pytest.raises(click.UsageError):
        parse(line, complete=True)
