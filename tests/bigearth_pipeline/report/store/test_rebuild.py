"""The command that builds a store once more."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.build.config import BuildConfig, build_note
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.cli.stores.build_shards import build_shards
from bigearth_pipeline.report.store.rebuild import rebuild_command
from bigearth_pipeline.source.tree import Source

CASES: list[dict[str, Any]] = [
    {},
    {"format": "zarr", "codec": "blosc-zstd", "patches_per_shard": 7},
    {"rules": Rules(include_snow_cloud=True, split_by=(80, 10, 10), limit=12, seed=-3, offset="auto")},
    {"labels43": True},
]


@pytest.mark.parametrize("options", CASES)
def test_the_command_has_the_options_of_the_build(options: dict[str, Any], tmp_path: Path) -> None:
    """The command in a report builds another store, or the shell reads a part of a path as a command."""
    tables = [
        tmp_path / "a b; $(rm -r x).parquet",
        tmp_path / "li'sts" / "train.csv.bz2",
        tmp_path / "li'sts" / "val.csv",
    ]
    for table in tables:
        table.parent.mkdir(exist_ok=True)
        table.write_bytes(b"")
    root = tmp_path / "Big Earth`Net`"
    root.mkdir()
    config = BuildConfig(sources=(root,), out=tmp_path / "out", **options)
    note = build_note(config, [Source(root=root, version="v2")], tables, ["a", "b"])
    words = shlex.split(rebuild_command(note, allow_bad=2).replace("\\\n", " "))
    assert words[:2] == ["bep", "build-shards"]
    found = build_shards.make_context("build-shards", words[2:]).params
    assert found["sources"] == (str(root),)
    assert (found["store_format"], found["codec"]) == (config.format, config.codec)
    assert (found["patches_per_shard"], found["allow_bad"]) == (config.patches_per_shard, 2)
    rules = config.rules
    assert (found["include_snow_cloud"], found["split_by"]) == (rules.include_snow_cloud, rules.split_by)
    assert (found["limit"], found["seed"]) == (rules.limit, rules.seed)
    assert found["labels43"] == config.labels43
    assert found["offset"] == ("auto" if rules.offset == "auto" else None)
    assert found["metadata"] == (tables[0],)
    assert found["splits"] == tables[1].parent
