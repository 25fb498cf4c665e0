"""Results, logs and scratch files of all commands stay out of stores, which hold no file but their own."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.places import Local
from tests.bigearth_pipeline.cli.calls import assert_one_error, invoke
from tests.support.data.building import contents
from tests.trainer.conftest import Run

CALLS = {
    "bench loader --plot": "bench loader {store} --plot {store}/new.png",
    "bench train --trace": "bench train {store} --trace {store}/new.json",
    "build-shards --keep": "build-shards http://127.0.0.1:9/a.tar --out {new} --keep {store}/new",
    "build-shards --spool": "build-shards http://127.0.0.1:9/a.tar --out {new} --spool {store}/new",
    "describe --out": "describe {store} --out {store}/new",
    "download --out": "download v2-maps --out {store}/new --base-url http://127.0.0.1:9/",
    "evaluate --cache-dir": "evaluate {run} --shards s3://bucket/store --cache-dir {store}/new",
    "evaluate --out": "evaluate --weights {new} --model resnet18 --bands rgb --shards {store} --out {store}/new.json",
    "explain --out": "explain {run} --random 1 --out {store}/new",
    "export --out": "export {run} --out {store}/new",
    "plot --out": "plot {run} --out {store}/new.png",
    "predict --out": "predict {run} {store} --out {store}/new",
    "quickstart --out": "quickstart --out {store}/new",
    "report --out": "report {run} --out {store}/new.html",
    "serve --verdicts": "serve {run} --port 0 --verdicts {store}/new.csv",
    "show --out": "show {store} --out {store}/new.png",
    "synth --out": "synth --patches 1 --out {store}/new",
    "train --cache-dir": "train s3://bucket/store --out {new} --cache-dir {store}/new",
    "train --out": "train {store} --out {store}/new",
}
"""Calls by command and option."""


def _commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name}{each} ")
        elif command is not None:
            yield f"{name}{each}", command


def test_all_options_for_places_to_write_are_tried() -> None:
    """A new command writes into stores."""
    found = {
        f"{name} {param.opts[0]}"
        for name, command in _commands(main)
        for param in command.params
        if isinstance(param.type, Local)
    }
    own = {name for name in found if name.endswith(" --log-file")} | {"build-shards --out"}
    assert len(own) > 10
    assert sorted(found - own) == sorted(CALLS)


@pytest.mark.parametrize("name", [*CALLS, "build-shards --out", "inspect --log-file"])
def test_nothing_is_written_into_a_store(name: str, tiny: Path, run: Run, scene_tree: Path, tmp_path: Path) -> None:
    """A picture, a log or a cache lies among the files of a store, which then fails its own check."""
    calls = {
        **CALLS,
        "build-shards --out": "build-shards {tree} --out {store}/new",
        "inspect --log-file": "inspect {store} --log-file {store}/new",
    }
    before = contents(tiny)
    words = calls[name].format(store=tiny, run=run.config.run.out, tree=scene_tree, new=tmp_path / "new").split()
    result = invoke(*words)
    assert result.exit_code in (1, 2)
    assert_one_error(result.stderr, tiny / "new", "store", "name a")
    assert contents(tiny) == before
    assert not (tmp_path / "new").exists()
