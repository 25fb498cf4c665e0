"""Files of predictions: what is written is read, by our reader and by others, and stays with its results."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import shards
from bigearth_pipeline.cli import main
from shards import CLASSES
from tests.trainer.conftest import Run
from trainer.metrics.metrics import compute
from trainer.runs.predictions import SCHEMA, BadPredictions, Predictions, about


def some(count: int, seed: int = 0) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, len(CLASSES), generator=generator) * 8
    labels = (torch.rand(count, len(CLASSES), generator=generator) < 0.2).float()
    return [f"patch-{number}-ä" for number in range(count)], logits, labels


@given(count=st.integers(0, 40), seed=st.integers(0, 2**31))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, count: int, seed: int) -> None:
    path = tmp_path_factory.mktemp("predictions") / "predictions-test.parquet"
    keys, logits, labels = some(count, seed)
    thresholds = dict.fromkeys(CLASSES, 0.25)
    Predictions.of(keys, logits, labels, thresholds).write(path, {"split": "test", "rows_sha256": "ab"})
    found = Predictions.read(path)
    assert found.keys == keys
    np.testing.assert_array_equal(found.labels, labels.numpy())
    np.testing.assert_array_equal(found.probabilities, logits.sigmoid().numpy().astype(np.float16))
    assert found.about == about(path) == {"split": "test", "rows_sha256": "ab", "thresholds": thresholds}


def test_others_read_it(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    keys, logits, labels = some(50)
    Predictions.of(keys, logits, labels).write(path, {})
    table = pd.read_parquet(path)
    assert list(table) == ["key", "labels", *CLASSES]
    names = [[CLASSES[i] for i in row.nonzero()[:, 0]] for row in labels]
    assert [list(found) for found in table["labels"]] == names
    np.testing.assert_array_equal(table[list(CLASSES)].to_numpy(np.float16), logits.sigmoid().numpy().astype("f2"))
    ((total,),) = duckdb.sql(f"""SELECT sum("{CLASSES[3]}"::float) FROM '{path}'""").fetchall()
    assert total == pytest.approx(float(logits[:, 3].sigmoid().half().float().sum()), abs=1e-3)


def _null(table: pa.Table) -> pa.Table:
    column = pa.array([None, *table["key"].to_pylist()[1:]], pa.string())
    return table.cast(_nullable(table.schema)).set_column(0, "key", column)


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema], schema.metadata)


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), table.schema.field(name), column)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table.drop(["key"]), "does not have the columns"),
        (lambda table: table.rename_columns(["key", "labels", *reversed(CLASSES)]), "does not have the columns"),
        (_null, "does not have the columns"),
        (lambda table: table.replace_schema_metadata(), "does not say what it is of"),
        (lambda table: table.replace_schema_metadata({"bep": "[" * 9000}), "does not say what it is of"),
        (lambda table: table.replace_schema_metadata({"bep": "[]"}), "does not say what it is of"),
        (lambda table: _with(table, "labels", pa.array([["Sea"]] * 5)), "does not say what it is of"),
        (lambda table: _with(table, CLASSES[0], pa.array(np.full(5, 1.5, "f2"))), "outside of 0 to 1"),
        (lambda table: _with(table, CLASSES[0], pa.array(np.full(5, np.nan, "f2"))), "outside of 0 to 1"),
    ],
)
def test_what_is_no_file_of_predictions_is_refused(tmp_path: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "p.parquet"
    Predictions.of(*some(5)).write(path, {})
    pq.write_table(damage(pq.read_table(path)), path)
    with pytest.raises(BadPredictions, match=message) as caught:
        Predictions.read(path)
    assert str(path) in str(caught.value)


def test_cut_files_and_absent_ones(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    assert about(path) is None
    with pytest.raises(BadPredictions, match="No such file"):
        Predictions.read(path)
    Predictions.of(*some(5)).write(path, {})
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        assert about(path) == {}
        with pytest.raises(BadPredictions, match="cannot be read"):
            Predictions.read(path)


def test_a_few_bytes_are_not_many_rows(tmp_path: Path) -> None:
    """A file of kilobytes that says it holds millions of rows fills the memory of whoever reports the run."""
    path = tmp_path / "predictions-test.parquet"
    Predictions.of(["a"], torch.zeros(1, 19), torch.ones(1, 19, dtype=torch.uint8)).write(path, {})
    row = pq.read_table(path)
    pq.write_table(row.take(pa.array(np.zeros(200_000, np.int32))), path, compression="zstd")
    with pytest.raises(BadPredictions, match=r"200,000 rows in .* bytes, expected one row a patch"):
        Predictions.read(path)


def test_a_run_leaves_the_predictions_of_its_results(run: Run) -> None:
    """The scores computed from the file are those of the results, to the precision of float16."""
    folder = run.config.run.out
    found, result = (
        Predictions.read(folder / "predictions-test.parquet"),
        json.loads((folder / "metrics-test.json").read_text()),
    )
    with shards.open(run.config.data.shards) as store:
        rows = store.index.rows("test")
        assert found.keys == [store.index.key(int(row)) for row in rows]
        np.testing.assert_array_equal(found.labels, store.index.labels()[rows])
    assert {key: found.about[key] for key in ("rows_sha256", "epoch", "split", "manifest_sha256")} == {
        key: result[key] for key in ("rows_sha256", "epoch", "split", "manifest_sha256")
    }
    probabilities = torch.from_numpy(found.probabilities.astype(np.float64)).clamp(1e-6, 1 - 1e-6)
    metrics = compute(probabilities.logit().float(), torch.from_numpy(found.labels).float(), 0.0).to_json()
    assert metrics["ap_macro"] == pytest.approx(result["ap_macro"], abs=2e-3)
    assert metrics["f1_micro"] == pytest.approx(result["f1_micro"], abs=2e-3)


def test_predictions_of_other_patches_are_never_replaced(run: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run.config.run.out, tmp_path / "run")
    own = (copy / "predictions-test.parquet").read_bytes()

    def evaluate(*options: str) -> dict[str, object]:
        result = CliRunner().invoke(main, ["evaluate", str(copy), "--json", *options])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    digest = evaluate("--where", "num_labels > 2")["rows_sha256"][:12]  # type: ignore[index]
    some_patches = Predictions.read(copy / f"predictions-test-{digest}.parquet")
    assert 0 < len(some_patches.keys) < len(Predictions.read(copy / "predictions-test.parquet").keys)
    assert (copy / "predictions-test.parquet").read_bytes() == own
    evaluate()
    assert (copy / "predictions-test.parquet").read_bytes() == own
    # A file under the run's own name that nobody knows: its results get the other name.
    (copy / "metrics-test.json").unlink()
    (copy / "predictions-test.parquet").write_bytes(b"mine")
    digest = evaluate()["rows_sha256"][:12]  # type: ignore[index]
    assert (copy / "predictions-test.parquet").read_bytes() == b"mine"
    assert Predictions.read(copy / f"predictions-test-{digest}.parquet").about["rows_sha256"][:12] == digest


def test_the_schema_is_the_documented_one() -> None:
    assert SCHEMA.names == ["key", "labels", *CLASSES]
    assert {str(SCHEMA.field(name).type) for name in CLASSES} == {"halffloat"}
