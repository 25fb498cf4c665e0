"""Calls of commands, and what they print."""

import subprocess

import click.testing

from bigearth_pipeline.cli import main
from tests.support.running import commands


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bep` in a process of its own."""
    return commands.run(*arguments)


def invoke(*arguments: object) -> click.testing.Result:
    """Run `bep` in this process; a traceback fails the test."""
    result = click.testing.CliRunner().invoke(main, list(map(str, arguments)), prog_name="bep")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def assert_one_error(errors: str, *messages: object) -> None:
    """Assert that exactly one line says what is wrong, with all messages in it, and that it is the last."""
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1, errors
    assert errors.splitlines()[-1] == lines[0]
    for message in messages:
        assert str(message) in lines[0]
