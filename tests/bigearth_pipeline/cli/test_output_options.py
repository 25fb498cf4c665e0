"""The options that every command has: `--quiet`, `--verbose`, `--log-file`."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from tests.bigearth_pipeline.cli.calls import call
from tests.bigearth_pipeline.cli.test_cli import COMMANDS

LINE = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ (.*)")


def lines_of(log: Path) -> list[str]:
    """Return the lines of a log file; each has its time."""
    matches = [LINE.fullmatch(line) for line in log.read_text().splitlines()]
    assert all(matches)
    return [match[1] for match in matches if match]


def command_of(words: str) -> click.Command:
    """Return a command by its words, such as `bench loader`."""
    found: click.Command = main
    for word in words.split():
        assert isinstance(found, click.Group)
        command = found.get_command(click.Context(found), word)
        assert command is not None
        found = command
    return found


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_them(words: str) -> None:
    """A command says what it says whatever one asks for."""
    command = command_of(words)
    if isinstance(command, click.Group):
        return
    options = [option for parameter in command.params for option in parameter.opts]
    assert {"-q", "--quiet", "-v", "--verbose", "--log-file"} <= set(options)
    assert len(options) == len(set(options))


def test_quiet_leaves_results_and_errors(scene_tree: Path, tmp_path: Path) -> None:
    """Progress fills the mail that cron sends, or the summary goes with it."""
    told = call("build-shards", scene_tree, "--out", tmp_path / "s", "--limit", "4", "--workers", "1", "--quiet")
    assert (told.returncode, told.stderr) == (0, "")
    assert "stored" in told.stdout
    assert "next:" not in told.stdout
    told = call("verify", tmp_path / "absent", "-q")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("Error: ")


def test_a_log_has_what_is_said(scene_tree: Path, tmp_path: Path) -> None:
    """A job on a cluster leaves no trace of when it did what, and how it ended."""
    log = tmp_path / "log.txt"
    for out, status in ((tmp_path / "s", 0), (log, 1)):
        arguments = ("--limit", "4", "--workers", "1", "--log-file", log)
        told = call("build-shards", scene_tree, "--out", out, *arguments)
        assert told.returncode == status
        if status == 0:
            said = told.stderr.splitlines()
            first = lines_of(log)
            assert re.fullmatch(r"bep build-shards began, process \d+", first[0])
            assert first[1:] == [*said, "bep build-shards ended with status 0"]
        else:
            second = lines_of(log)[len(first) :]
            assert second[-2:] == [told.stderr.splitlines()[-1], "bep build-shards ended with status 1"]
            assert second[-2].startswith("Error: ")
    assert stat.S_IMODE(log.stat().st_mode) & stat.S_IXUSR == 0


def test_a_quiet_command_logs_all_the_same(scene_tree: Path, tmp_path: Path) -> None:
    """The mail of cron is short, and so is the log in which one looks for what went wrong."""
    logs = {}
    for name, options in (("loud", []), ("quiet", ["--quiet"])):
        log = tmp_path / f"{name}.txt"
        arguments = ("--out", tmp_path / name, "--limit", "4", "--workers", "1", "--log-file", log)
        told = call("build-shards", scene_tree, *arguments, *options)
        assert told.returncode == 0
        logs[name] = [line for line in lines_of(log) if " began, process " not in line]
    assert told.stderr == ""
    assert any(line.startswith("found ") for line in logs["loud"])
    assert logs["quiet"] == logs["loud"]


def test_arguments_are_not_logged(tmp_path: Path) -> None:
    """An address with a signature ends up in a file that others read."""
    log = tmp_path / "log"
    call("inspect", f"https://127.0.0.1:9/store?signature=s3cr3t{tmp_path.name}", "--log-file", log)
    assert "s3cr3t" not in log.read_text().partition("Error")[0]


def test_verbose_shows_the_traceback(tmp_path: Path) -> None:
    """Nobody can find where an error that is one line comes from."""
    told = call("inspect", tmp_path / "absent", "--verbose")
    assert told.returncode == 1
    assert "Traceback (most recent call last)" in told.stderr
    assert told.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-q", "-v"], "--quiet and --verbose exclude each other"),
        (["--log-file", "{tmp}/absent/log"], "absent/log cannot be written: No such file or directory"),
        (["--log-file", "{tmp}"], "is a directory"),
    ],
)
def test_what_cannot_be_is_a_wrong_usage(arguments: list[str], message: str, tmp_path: Path) -> None:
    """A log that cannot be written is found out at the end of a day's work."""
    result = CliRunner().invoke(main, ["inspect", str(tmp_path), *(word.format(tmp=tmp_path) for word in arguments)])
    assert result.exit_code == 2
    assert message in result.output


def test_a_file_that_is_no_log_stays_as_it_is(tmp_path: Path) -> None:
    """A slip, such as the path of a shard, appends lines to a file of a store or of the system."""
    foreign = tmp_path / "train-00000.tar"
    for content in (b"\0" * 512, b"root:x:0:0\n", b"20", b"{}\n" * 99, b"2026-01-01T00:00:00Z"):
        foreign.write_bytes(content)
        result = CliRunner().invoke(main, ["inspect", str(tmp_path), "--log-file", str(foreign)])
        assert result.exit_code == 2
        assert "holds something else than a log of bep; name another file" in result.output
        assert foreign.read_bytes() == content
    foreign.write_bytes(b"")
    for number in (2, 4):
        CliRunner().invoke(main, ["stats", str(tmp_path / "absent"), "--quiet", "--log-file", str(foreign)])
        assert sum(" stats " in line for line in lines_of(foreign)) == number


def test_a_bug_is_logged_with_its_traceback(tmp_path: Path) -> None:
    """The traceback that a report on a bug needs is gone with the terminal."""
    log = tmp_path / "log"
    code = (
        "import sys, shards.metadata.manifest as m\n"
        "def fail(*a): raise RuntimeError('a bug')\n"
        "m.Manifest.read = fail\n"
        "from bigearth_pipeline.cli import main\n"
        f"sys.argv[0] = 'bep'\nmain(['inspect', {str(tmp_path)!r}, '--log-file', {str(log)!r}], prog_name='bep')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    said = lines_of(log)
    assert "RuntimeError: a bug" in said
    assert said[-1] == "bep inspect ended with status 1"
