"""That a fact is added in one line: the rest of the format follows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from shards.testing.stores import make_store
from tests.support.paths import ROOT

LINE = '    cloud_cover: Annotated[float | None, Column(pa.float64(), "share of the patch", added=True)] = None\n'
USE = """
import json, sys, tarfile
from dataclasses import replace
from pathlib import Path
import numpy as np
import shards
from bigearth_pipeline.verify.containers import check_tar
from shards.layout.facts import Facts
from shards.write import StoreWriter
from trainer.data.subset.where import check_condition, rows_where

old, new = map(Path, sys.argv[1:])
covers = [0.25, None, 0.75]
with shards.open(old) as source:
    assert [source.read(row).cloud_cover for row in range(3)] == [None] * 3
    assert rows_where("cloud_cover is null", source.index).tolist() == [0, 1, 2]
    with StoreWriter(new) as store, store.shard("train", 0) as shard:
        for row, cover in enumerate(covers):
            facts = replace(Facts(**source.index.facts(row)), cloud_cover=cover)
            shard.add(facts, source.read(row).s2)
with shards.open(new) as store:
    assert [store.read(row).cloud_cover for row in range(3)] == covers
    assert rows_where("cloud_cover > 0.5", store.index).tolist() == [2]
    assert check_condition("cloud_cover < 1") == {"cloud_cover"}
    assert list(check_tar(store, store.manifest.shards[0], [0, 1, 2])) == []
    with tarfile.open(new / "train-00000.tar") as tar:
        facts = [json.load(tar.extractfile(name)) for name in tar.getnames() if name.endswith(".json")]
    assert [one["cloud_cover"] for one in facts] == covers
    # The check sees the new fact, too.
    column = store.index.table.column_names.index("cloud_cover")
    store.index.table = store.index.table.set_column(column, "cloud_cover", [[0.25, None, 0.5]])
    [problem] = check_tar(store, store.manifest.shards[0], [0, 1, 2])
    assert problem.endswith("differs from the index in cloud_cover"), problem
print("done")
"""


def test_a_fact_is_one_line(tmp_path: Path) -> None:
    """A fact that is added to the table is missing in the index, a tar, a patch, a condition or a check."""
    old = make_store(tmp_path / "old", {"train": 3})
    code = tmp_path / "code"
    shutil.copytree(ROOT / "shards", code / "shards", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bigearth_pipeline", "trainer"):
        (code / name).symlink_to(ROOT / name)
    table = code / "shards" / "layout" / "facts.py"
    before, *after = table.read_text().partition("    nodata_pixels: ")
    table.write_text("".join((before, LINE, *after)))
    told = subprocess.run(
        [sys.executable, "-c", USE, old, tmp_path / "new"], cwd=code, env=os.environ | {"PYTHONPATH": str(code)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (0, "done\n"), told.stderr
