"""Labels of BigEarthNet v1's 43 classes: built, read, searched, shown and checked."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shards
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.report.store.report import store_report
from bigearth_pipeline.synth.dataset import write_dataset
from bigearth_pipeline.verify.store import verify_store
from shards import CorruptShard, InvalidValue, ShardError
from shards.layout.classes import CLC43_TO_19, FORTY_THREE, NINETEEN, mask_of_19, masks_of_19
from shards.metadata.manifest import INDEX, MANIFEST, Manifest
from shards.metadata.seal import sealed
from shards.testing.stores import make_store
from shards.write.checksums import describe_file
from tests.bigearth_pipeline.cli.calls import invoke
from tests.bigearth_pipeline.report.pages import Html
from tests.support.data.building import build_store, contents
from trainer.data.subset.where import check_condition, rows_where

EVERYTHING = Rules(include_snow_cloud=True, split_by=(40, 30, 30))


@given(st.sets(st.sampled_from(FORTY_THREE.names)))
def test_the_19_classes_follow_from_the_43(names: set[str]) -> None:
    """A class of the 43 becomes another of the 19 in a mask than by its name."""
    mask = FORTY_THREE.encode(names)
    expected = NINETEEN.encode(kept for name in names if (kept := CLC43_TO_19[name]) is not None)
    assert mask_of_19(mask) == expected == masks_of_19(np.array([0, mask], np.uint64))[1]
    assert set(FORTY_THREE.decode(mask)) == names
    assert FORTY_THREE.multi_hot(np.array([mask], np.uint64))[0].tolist() == [
        int(name in names) for name in FORTY_THREE.names
    ]


def annotated(tree: Path) -> dict[str, set[str]]:
    """Return the labels that the JSON files of a v1 tree name, by patch."""
    found = tree.rglob("*_labels_metadata.json")
    return {path.parent.name: set(json.loads(path.read_text())["labels"]) for path in found}


@pytest.mark.long
def test_real_patches_keep_their_labels(v1_tree: Path, v1_splits: Path, tmp_path: Path, scheduler: str) -> None:
    """A patch of the store has other labels than its JSON file, or the option changes anything else in a store."""
    names = annotated(v1_tree)
    for out, option in (("plain", False), ("whole", True)):
        build_store(tmp_path / out, v1_tree, scheduler=scheduler, splits=v1_splits, rules=EVERYTHING, labels43=option)
    with shards.open(tmp_path / "whole") as store, shards.open(tmp_path / "plain") as plain:
        assert store.manifest.classes43 == FORTY_THREE.names
        for row in range(len(store)):
            patch = store.read(row)
            assert set(patch.names43 or ()) == names[patch.key]
            assert patch.labels == plain.read(row).labels
            assert (plain.read(row).labels43, plain.read(row).names43) == (None, None)
        chosen = rows_where("list_contains(labels43, 'Peatbogs')", store.index)
        assert {store.index.key(row) for row in chosen} == {key for key in names if "Peatbogs" in names[key]}
        with pytest.raises(InvalidValue, match=r"the store has no column labels43, expected .*the option labels43"):
            rows_where("len(labels43) > 1", plain.index)
        with pytest.raises(InvalidValue, match=r"the store has no labels of 43 classes"):
            plain.index.labels(FORTY_THREE)
    before, after = contents(tmp_path / "plain"), contents(tmp_path / "whole")
    assert {name for name in before if before[name] != after.get(name)} == {INDEX, MANIFEST, "build.json"}
    assert "labels43" not in pq.read_table(tmp_path / "plain" / INDEX).column_names
    assert json.loads(after["build.json"])["labels43"] is True
    assert verify_store(tmp_path / "whole", against=[v1_tree]).problems == []
    with pytest.raises(PipelineError, match="`labels43=` was True, now none"):
        build_store(tmp_path / "whole", v1_tree, scheduler=scheduler, splits=v1_splits, rules=EVERYTHING)
    assert "labels43: labels of the 43 classes of BigEarthNet v1 too" in invoke("inspect", tmp_path / "whole").stdout
    assert "labels43" not in invoke("inspect", tmp_path / "plain").stdout


def test_an_archive_gives_the_same_labels(tmp_path: Path, scheduler: str) -> None:
    """A build from an archive loses the labels, or takes a patch of dropped classes alone."""
    import tarfile

    tree = tmp_path / "v1"
    write_dataset(tree, patches=12, layout="v1", seed=3, workers=1)
    with tarfile.open(tmp_path / "v1.tar", "w") as archive:
        archive.add(tree, "v1")
    build_store(tmp_path / "a", tree, scheduler=scheduler, rules=Rules(), labels43=True)
    build_store(tmp_path / "b", tmp_path / "v1.tar", splits=tree, rules=Rules(), labels43=True)
    assert pq.read_table(tmp_path / "a" / INDEX).equals(pq.read_table(tmp_path / "b" / INDEX))
    with shards.open(tmp_path / "a") as store:
        assert store.index.labels().any(axis=1).all()


def change(folder: Path, **columns: list[int]) -> None:
    """Replace columns of an index, and describe it in the manifest again."""
    table = pq.read_table(folder / INDEX)
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, table.field(name), [np.array(values, table.field(name).type.to_pandas_dtype())])
    pq.write_table(table, folder / INDEX)
    manifest = Manifest.read(folder).to_json()
    info = describe_file(folder, INDEX)
    for file in manifest["files"]:
        if file["path"] == INDEX:
            file |= {"size_bytes": info.size_bytes, "sha256": info.sha256}
    write(folder, manifest)


def write(folder: Path, manifest: dict[str, object]) -> None:
    """Write a manifest with a checksum of its own."""
    manifest.pop("sha256", None)
    (folder / MANIFEST).write_text(json.dumps(sealed(manifest)))


def test_labels_that_do_not_fit_are_found(tmp_path: Path) -> None:
    """Labels of the 43 classes beyond the last class, or that contradict those of the 19, are trained on."""
    folder = make_store(tmp_path / "s", {"train": 6}, labels43=True)
    with shards.open(folder) as store:
        masks = store.index.column("labels43").tolist()
        assert any(len(store.read(row).names43 or ()) > len(store.read(row).labels) for row in range(6))
    change(folder, labels43=[*masks[:3], masks[3] ^ 1 << FORTY_THREE.names.index("Pastures"), *masks[4:]])
    message = r"train_\d has label mask 0x\w+, expected 0x\w+, which follows from its labels43"
    with pytest.raises(CorruptShard, match=message):
        shards.open(folder)
    assert any("follows from its labels43" in line for line in verify_store(folder).problems)
    change(folder, labels43=[masks[0] | 1 << 43, *masks[1:]])
    with pytest.raises(CorruptShard, match=r"has labels43 0x\w+, expected bits of 43 classes"):
        shards.open(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    write(folder, manifest | {"classes43": manifest["classes43"][::-1]})
    with pytest.raises(ShardError, match="other classes43, or another order of them"):
        shards.open(folder)
    # Without the field nobody can tell what the bits mean.
    del manifest["classes43"]
    write(folder, manifest)
    with shards.open(folder) as store:
        assert store.read(0).labels43 is None


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[int]]]:
    """A store, and its patches of the train and test split with each of the 43 classes, and of all of them."""
    counts = {"train": 12, "test": 5}
    folder = make_store(tmp_path_factory.mktemp("counted") / "s", counts, source_version="v1", labels43=True)
    with shards.open(folder) as store:
        found = Counter((patch.split, name) for patch in store for name in patch.names43 or ())
    expected = {name: [found[split, name] for split in counts] for name in FORTY_THREE.names}
    assert [0, 0] in expected.values()
    return folder, expected | {"patches": [*counts.values()]}


def test_patches_by_class_are_inspected(counted: tuple[Path, dict[str, list[int]]]) -> None:
    """Nobody sees before a training which of the 43 classes occur, or sees the counts of other classes or splits."""
    text = invoke("inspect", counted[0]).stdout.partition("class of v1")[2]
    shown = {name: list(map(int, counts)) for name, *counts in re.findall(r"│ (.+?) +│ +(\d+) │ +(\d+) │", text)}
    assert shown == counted[1]


@pytest.mark.long
def test_patches_by_class_are_reported(counted: tuple[Path, dict[str, list[int]]]) -> None:
    """The page of a store has the 19 classes alone, or other counts of the 43."""
    found = Html.of(store_report(counted[0], per_class=0)).table("classes43-table")
    assert {name: [int(cell) for cell in cells[:2]] for name, cells in found.items()} == counted[1]


def test_a_writer_wants_labels_of_each_patch(tmp_path: Path) -> None:
    """A store says that it has labels of the 43 classes, and a patch has none."""
    folder = make_store(tmp_path / "s", {"train": 2})
    with shards.open(folder) as store:
        patch = store.read(0)
    from shards.write.store import StoreWriter

    with (
        pytest.raises(InvalidValue, match=f"patch {patch.key} has no labels43, expected a mask"),
        StoreWriter(tmp_path / "t", labels43=True) as writer,
        writer.shard("train", 0) as shard,
    ):
        shard.add(patch, patch.s2)


def test_names_in_a_condition_are_checked() -> None:
    """A mistyped class of the 43 selects nothing without a word."""
    assert check_condition("list_contains(labels43, 'Airports')") == {"labels43"}
    with pytest.raises(InvalidValue, match=r"no patch can have 'Airport' in labels43, perhaps 'Airports'"):
        check_condition("list_contains(labels43, 'Airport')")
