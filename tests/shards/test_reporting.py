"""Errors, and text from files, as people are shown them."""

import errno
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import bigearth_pipeline.errors
import shards.errors
import trainer.errors
from bigearth_pipeline.cli import main
from shards.errors import BepError, CorruptShard, ShardError
from shards.reporting import bug_report, one_line, printable, without_secrets

_STEERING = ("\x1b[2J", "\x9b31m", "\x07", "\r", "\n", "\x7f", "\u202e", "\u2066", "\x1b]0;title\x07", "\udc9b")


@given(st.text(st.one_of(st.sampled_from("\x1b\x9b\r\n\x07\u202e\udc80"), st.characters())))
def test_nothing_printable_steers_a_terminal(text: str) -> None:
    """A control character that reaches a terminal can hide, forge or overwrite what it shows."""
    shown = printable(text)
    shown.encode()
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in shown)
    assert not any(unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI") for c in shown)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_other_text_stays_as_it_is(text: str) -> None:
    """Names with accents, arrows and dashes are not mangled."""
    assert printable(text) == text


@pytest.mark.parametrize("steering", _STEERING)
def test_errors_are_one_harmless_line(steering: str) -> None:
    """An error quotes names from files."""
    for err in (CorruptShard(f"patch {steering} is damaged"), OSError(errno.ENOENT, "No such file", f"a{steering}b")):
        line = one_line(err)
        assert line is not None
        assert steering not in line
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize("module", [bigearth_pipeline.errors, shards.errors, trainer.errors])
def test_every_error_class_is_for_people(module: object) -> None:
    """An error outside the family would be shown as a bug."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type)]
    assert kinds
    assert all(issubclass(kind, BepError) for kind in kinds)


@pytest.mark.parametrize("bug", [ValueError("x"), KeyError("x"), RuntimeError("x"), RecursionError(), OSError("x")])
def test_a_bug_is_no_line(bug: Exception) -> None:
    """An error that this program did not foresee loses its traceback, and nobody can mend it."""
    assert one_line(bug) is None
    assert "bug" in bug_report()


def test_a_full_disk_says_what_to_try() -> None:
    """The commonest failure of long work."""
    line = one_line(OSError(errno.ENOSPC, "No space left on device", "/data/out"))
    assert line == "/data/out: No space left on device; make room on the disk and run the same command again"


def test_a_lack_of_memory_is_no_bug() -> None:
    """A build with too many processes ends in a traceback and a request to report it."""
    assert one_line(MemoryError()) == "there is not enough memory; end other programs, or use fewer processes"
    line = one_line(MemoryError("Unable to allocate\n8 GiB"))
    assert line is not None
    assert "memory: Unable to allocate 8 GiB; " in line


def test_links_in_a_circle_are_one_line() -> None:
    """A symbolic link to itself ends in a traceback: `pathlib` raises no error of the system, but a RuntimeError."""
    for name in ("loop", "it's", "\x1b[31m"):
        line = one_line(RuntimeError(f"Symlink loop from {name!r}"))
        assert line is not None
        assert line.endswith(": Too many levels of symbolic links")
        assert "\x1b" not in line
    assert one_line(RuntimeError("Symlink loop")) is None


@pytest.mark.parametrize(
    "command",
    [
        ["plot", "@", "--out", "x.svg"],
        ["export", "@", "--out", "x"],
        ["build-shards", "@.tar", "--out", "x"],
        ["build-shards", "@", "--out", "x"],
        ["report", "@"],
        ["verify", "@"],
        ["runs", "@"],
        ["describe", "@", "--out", "x"],
        ["predict", "@", "@", "--out", "x"],
        ["train", "@", "--out", "x"],
    ],
)
def test_commands_take_links_in_a_circle_for_an_error(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command ends in a traceback, or waits for ever."""
    monkeypatch.chdir(tmp_path)
    for name in ("loop", "loop.tar"):
        (tmp_path / name).symlink_to(name)
    told = CliRunner().invoke(main, [argument.replace("@", "loop") for argument in command])
    assert isinstance(told.exception, SystemExit), told.exception
    assert told.exit_code in (1, 2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("source ftp:/me:ha@rd@shelf/a.tar is absent", "source ftp:/shelf/a.tar is absent"),
        ("https://me:hard@host:1/x?X-Amz-Signature=a%2F/b: gone", "https://host:1/x: gone"),
        ("'https://host/x?sig=hard#there' (S3://me:hard@b)", "'https://host/x' (S3://b)"),
        ("hf://owner/name@main and s3://bucket/a@b", "hf://owner/name@main and s3://bucket/a@b"),
        ("tcp://host:8786 does not answer: is it a scheduler?", "tcp://host:8786 does not answer: is it a scheduler?"),
    ],
)
def test_addresses_are_shown_without_secrets(text: str, shown: str) -> None:
    """A password or the signature of a link gets into a log, or an address is cut that has neither."""
    assert without_secrets(text) == shown
    assert one_line(ShardError(text)) == shown
    assert one_line(OSError(errno.ENXIO, "gone", text)) == f"{shown}: gone"


def test_a_missing_file_is_a_line_with_advice() -> None:
    """A line says `No such file or directory`, and a reader does not know what to do."""
    for code, advice in (
        (errno.ENOENT, "check the name"),
        (errno.ENOTDIR, "expected a folder; name another"),
        (errno.EISDIR, "expected a file; name another"),
    ):
        assert one_line(OSError(code, "reason", "place")) == f"place: reason; {advice}"
