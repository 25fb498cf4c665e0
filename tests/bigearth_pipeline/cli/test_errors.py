"""Ends of commands, and options in messages."""

import ast
import gc
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.errors import reported, with_flags
from shards.errors import BepError
from tests.support.paths import ROOT
from trainer.definition.tables import KEYS

_LIBRARIES = [
    path
    for package in ("shards", "trainer", "bigearth_pipeline")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.is_relative_to(ROOT / "bigearth_pipeline/cli")
]
_STORED = (
    "beyond --limit",
    "# All options of this run. To repeat it: bep train --config THIS_FILE --out OTHER_RUN",
)
"""Texts that stand in manifests and in the configuration of a run."""
_PAGES = (
    "bigearth_pipeline/report/figure/lines.py",
    "bigearth_pipeline/report/figure/look.py",
    "bigearth_pipeline/report/run/contents.py",
    "bigearth_pipeline/report/run/explanations.py",
    "bigearth_pipeline/report/store/rebuild.py",
    "bigearth_pipeline/serve/routes/check.py",
    "trainer/export/card.py",
)
"""Commands that pages show to people, and names of their style: its variables, and dashes."""


def failing(message: str) -> Result:
    """Return what a command with some options says of an error."""

    @click.command()
    @click.argument("data", metavar="[DIR]", required=False)
    @click.option("--cache")
    @click.option("--shards", "folder")
    @click.option("--augment")
    @click.option("--compile", "mode", is_flag=False, flag_value="default")
    @click.option("--overwrite", is_flag=True)
    @click.option("--set", "assignments", multiple=True)
    @click.option("--map/--no-map", "mapped", default=True)
    def command(**options: object) -> None:
        with reported():
            raise BepError(message)

    return CliRunner().invoke(command, [])


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("take `cache=ram`, or none", "take --cache ram, or none"),
        ("name it with `cache=`", "name it with --cache"),
        ("leave `compile=cuda-graph` out", "leave --compile cuda-graph out"),
        ("replace it with `overwrite=True`", "replace it with --overwrite"),
        ("`mapped=False` has no effect", "--no-map has no effect"),
        ("`augmentation=` has no effect", "--augment has no effect"),
        ("name the folder as `data=DIR`, or `folder=DIR`", "name the folder as DIR, or --shards DIR"),
        ("`data=` is missing", "DIR is missing"),
        ("name it: `data=a b` `folder=DIR`", "name it: bep 'a b' --shards DIR"),
        ("use `folder=DIR` `cache=ram`", "use --shards DIR --cache ram"),
        ("`cache=/a b/c`", "--cache '/a b/c'"),
        ("take `machine.cache=ram`", "take --set machine.cache=ram"),
        ("take `step_gamma=0.1`", "take --set optimisation.step_gamma=0.1"),
        ("give `run.gamma=0.1`, or `gamma=0.1`", "give --set run.gamma=0.1, or `gamma=0.1`"),
        (
            "`unknown=8` is no option here, `cache` none either",
            "`unknown=8` is no option here, `cache` none either",
        ),
        ("`cache=\x1b[2J`", "--cache '\\x1b[2J'"),
    ],
)
def test_options_are_shown_as_flags(message: str, shown: str) -> None:
    """A message tells a user of the command line to write Python."""
    result = failing(message)
    assert (result.exit_code, result.stderr) == (1, f"Error: {shown}\n")


def test_without_a_command_a_message_stays_as_it_is() -> None:
    """A program that calls the library gets messages about flags, which it does not have."""
    assert with_flags("take `cache=ram`") == "take `cache=ram`"


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts in a file with their lines, but for docstrings."""
    # What the collector ends may parse as well, which CPython 3.11 takes for an error of this parse (gh-106905).
    gc.disable()
    try:
        tree = ast.parse(path.read_text())
    finally:
        gc.enable()
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def test_libraries_know_no_flags() -> None:
    """An error of a library speaks of a command line to a program that has none."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in _LIBRARIES
        if str(path.relative_to(ROOT)) not in _PAGES
        for line, text in _texts(path)
        if re.search(r"(?<![\w'-])--([a-z]|$)", text) and text not in _STORED
    ]
    assert found == []


def _parameters(group: click.Group) -> Iterator[str]:
    """Yield the names under which the options of a group's commands can be named in messages."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from _parameters(found)
        for parameter in found.params:
            yield from (str(parameter.name), *(long.lstrip("-").replace("-", "_") for long in parameter.opts))


def test_options_in_messages_are_options_of_a_command() -> None:
    """A message names an option that no command has, so that it stays as Python on the command line."""
    known = {*_parameters(main), *KEYS, "augmentation"}
    named = {
        (match[1], f"{path.relative_to(ROOT)}:{line}")
        for path in _LIBRARIES
        for line, text in _texts(path)
        for match in re.finditer(r"`(?:[a-z_]+\.)?([a-z][a-z0-9_]*)=", text)
    }
    assert len(named) > 50
    assert sorted(place for name, place in named if name not in known) == []


@pytest.mark.parametrize("rank", [None, "3"])
def test_a_rank_names_itself(monkeypatch: pytest.MonkeyPatch, rank: str | None) -> None:
    """Of eight lines of as many processes nobody can tell who speaks."""
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    assert failing("wrong").stderr == ("Error: wrong\n" if rank is None else "Error: [rank 3] wrong\n")


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_one_line_and_a_status(sent: signal.Signals, status: int) -> None:
    """A script that is stopped takes an interrupted command for one that failed, or finds no word about it."""

    @click.command()
    def waits() -> None:
        with reported():
            signal.raise_signal(sent)

    # Not ignored, as by nohup.
    before = {each: signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        result = CliRunner().invoke(waits)
    finally:
        # What this process starts would inherit that they are ignored.
        left = {each: signal.signal(each, handler) for each, handler in before.items()}
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", "\ninterrupted\n")
    assert set(left.values()) == {signal.SIG_IGN}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("work", "arguments"),
    [
        ("bigearth_pipeline.build.run.build", ["build-shards", ".", "--out", "store"]),
        ("bigearth_pipeline.scenes.predict.predict", ["predict", "run", "scene", "--out", "map"]),
    ],
)
def test_what_resumes_does_not_delete(
    monkeypatch: pytest.MonkeyPatch, work: str, arguments: list[str], overwrite: bool
) -> None:
    """After Ctrl-C the same command is advised, whose `--overwrite` deletes what there is."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, interrupt)
    result = CliRunner().invoke(main, [*arguments, *(["--overwrite"] if overwrite else [])])
    words = "the same command without --overwrite resumes" if overwrite else "the same command resumes"
    assert result.exit_code == 130
    assert words in result.stderr


def test_the_end_of_a_connection_is_no_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Click takes it for the end of what is typed: "Aborted!" without any reason."""

    def fail(*_: object) -> None:
        raise EOFError

    monkeypatch.setattr("shards.metadata.manifest.Manifest.read", fail)
    result = CliRunner().invoke(main, ["inspect", "."])
    assert "Aborted" not in result.output
    assert isinstance(result.exception, RuntimeError)
    assert isinstance(result.exception.__cause__, EOFError)
