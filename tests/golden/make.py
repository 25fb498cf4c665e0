"""Makes golden data of the code at hand: `python -m tests.golden.make FOLDER`.

It is run once, at a release. What it has made is never made anew: later versions must read it as it is.

    stores.tar.xz  source/ and a store for each of `STORES`
    runs.tar.xz    finished/ and stopped/: a run at its end, and the same run as it was in its second epoch
    expected.json  what they hold, as read by `tests.golden.reading` and not by this package
"""

import io
import json
import lzma
import os
import shutil
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distributed import LocalCluster
from sklearn.metrics import average_precision_score

from shards.layout.bands import BAND_SLICES
from shards.layout.classes import CLASSES
from tests.golden import reading
from tests.golden.source import MODIFIED, items, record, write_source
from tests.golden.stores import STORES, build_golden
from trainer.config.options import TrainConfig
from trainer.models.create import ModelSpec, create
from trainer.training.start import resume, train

LIVE = 4
"""Channels of the network that are not zero. The others stay zero and take no room in an archive."""
LIBRARIES = ("numcodecs", "numpy", "pyarrow", "torch", "zarr")
DATA = "webdataset-blosc-lz4"
"""The store of the run."""


def main() -> None:
    """Make all of it in a folder that does not exist yet."""
    out = Path(sys.argv[1]).absolute()
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        # No path of this machine gets into the files.
        os.chdir(name)
        write_source(Path("source"))
        expected: dict[str, Any] = {"versions": {name: version(name) for name in LIBRARIES}, "selections": {}}
        with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
            for store in STORES:
                build_golden(store, Path("source"), Path(store), cluster.scheduler_address)
        expected["stores"] = {store: _describe_store(store, expected["selections"]) for store in STORES}
        expected["run"] = _make_runs()
        _pack(out / "stores.tar.xz", ["source", *STORES])
        _pack(out / "runs.tar.xz", ["finished", "stopped"])
    (out / "expected.json").write_text(_json(expected))


def _describe_store(name: str, selections: dict[str, Any]) -> dict[str, Any]:
    """Compare a store with the source, and return what is expected of it."""
    folder, here = Path(name), f"{Path.cwd()}/"
    for path in (folder / "build.json", folder / "quarantine.jsonl"):
        path.write_text(path.read_text().replace(here, ""))
    found, rows = reading.records(folder), reading.index_rows(folder)
    source = {item.key: item for item in items()}
    offset = STORES[name].rules.offset
    for row in rows:
        item = source[row["key"]]
        values = record(item)
        if offset == "auto" and item.has_offset:
            wide = values.astype(np.int64)
            values = np.where(wide == 0, 0, np.maximum(wide - 1000, 1)).astype(np.uint16)
        assert np.array_equal(found[item.key], values), (name, item.key)
        facts = (item.country, item.epsg, item.ulx, item.uly, item.snow, item.cloud, item.baseline)
        names = ("country", "epsg", "ulx", "uly", "seasonal_snow", "cloud_or_shadow", "baseline")
        assert facts == tuple(row[name] for name in names), (name, item.key)
        assert row["nodata_pixels"] == np.count_nonzero(record(item) == 0)
        assert item.split is None or row["split"] == {"val": "validation"}.get(item.split, item.split)
        assert (row["date"].isoformat(), _labels(row["label_mask"])) == (item.date, list(item.labels or ()))
    if STORES[name].selection not in selections:
        selections[STORES[name].selection] = {"patches": _patches(rows, found), "statistics": _statistics(rows, found)}
    assert _patches(rows, found) == selections[STORES[name].selection]["patches"], name
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for split, bands in selections[STORES[name].selection]["statistics"].items():
        for band, values in bands.items():
            given = manifest["splits"][split]["statistics"][band]
            given |= {"percentiles": list(given["percentiles"].values())}
            assert all(np.allclose(given[fact], values[fact], rtol=1e-12) for fact in given), (name, split, band)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "selection": STORES[name].selection,
        "left_out": manifest["left_out"],
        "files": {str(path.relative_to(folder)): reading.sha256(path.read_bytes()) for path in files},
    }


def _labels(mask: int) -> list[str]:
    return [name for i, name in enumerate(CLASSES) if mask >> i & 1]


def _patches(rows: list[dict[str, Any]], found: dict[str, reading.Record]) -> dict[str, Any]:
    """Return the facts of the patches by key, in the order of the index."""
    patches = {}
    for row in rows:
        facts = {name: value for name, value in row.items() if name not in ("key", "label_mask")}
        facts |= {"date": row["date"].isoformat(), "labels": _labels(row["label_mask"])}
        patches[row["key"]] = facts | {"sha256": reading.sha256(found[row["key"]].astype("<u2").tobytes())}
    return patches


def _statistics(rows: list[dict[str, Any]], found: dict[str, reading.Record]) -> dict[str, Any]:
    """Return the statistics of each split, by band."""
    splits = {}
    for split in ("train", "validation", "test"):
        values = np.stack([found[row["key"]] for row in rows if row["split"] == split])
        splits[split] = {band: reading.statistics(values[:, place]) for band, place in BAND_SLICES.items()}
    return splits


def _make_runs() -> dict[str, Any]:
    """Train, stop in the middle, and return what is expected at the end."""
    torch.set_num_threads(1)
    _write_start(Path("start.pt"))
    config = TrainConfig.of(
        shards=Path(DATA), out=Path("stopped"), model="bepnet-s", weights=Path("start.pt"), device="cpu", threads=1,
        epochs=3, batch_size=4, lr=0.05, warmup_steps=1, clip=5.0, ema=0.3, seed=4, test=True, max_minutes=1e-9,
    )  # fmt: skip
    train(config)
    # A start makes one step, after the end of an epoch if that is due.
    while (state := _checkpoint("stopped/checkpoints/last.pt")["progress"]["state"])["epoch"] < 1 or state["step"] < 2:
        resume(Path("stopped"))
    shutil.copytree("stopped", "finished")
    resume(Path("finished"), max_minutes=None)
    for run in (Path("stopped"), Path("finished")):
        for path in run.iterdir():
            if path.name.startswith(("events", ".lock")):
                path.unlink()
        reports = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        # Rates are of the machine, and differ from one time to the next.
        lines = [json.dumps(report | {"patches_per_second": 100.0, "wait_share": 0.5}) for report in reports]
        (run / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    best, last = (_checkpoint(f"finished/checkpoints/{name}.pt") for name in ("best", "last"))
    result = json.loads(Path("finished/metrics-test.json").read_bytes())
    logits = _check_result(best, result)
    return {
        "test": {name: result[name] for name in ("count", "loss", "ap_macro", "ap_micro", "rows_sha256")},
        "validation": {name: best["metrics"][name] for name in ("count", "loss", "ap_macro", "ap_micro")},
        "best_epoch": best["epoch"],
        "thresholds": best["thresholds"],
        "logits": logits,
        "tensors": {"best": reading.tensors(best["ema"]), "last": reading.tensors(last["state"])},
    }


def _checkpoint(path: str) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def _write_start(path: Path) -> None:
    """Write weights of which only the first channels of every layer are not zero."""
    torch.manual_seed(5)
    spec = ModelSpec("bepnet-s", tuple(BAND_SLICES))
    state = create(spec).state_dict()
    for name, values in state.items():
        if values.ndim == 4:
            values[LIVE:] = 0
            if ".bands." not in name:
                values[:, LIVE:] = 0
        elif ".gate." in name:
            values[LIVE:] = 0
            if values.ndim == 2:
                values[:, LIVE:] = 0
        elif name == "head.weight":
            values[:, LIVE:] = 0
    torch.save({"model": spec.to_json(), "state": state}, path)


def _check_result(best: dict[str, Any], result: dict[str, Any]) -> dict[str, list[float]]:
    """Compare results on the test split with those of scikit-learn; return the logits by key."""
    found, rows = reading.records(Path(DATA)), reading.index_rows(Path(DATA))
    tested = [row for row in rows if row["split"] == "test"]
    statistics = json.loads((Path(DATA) / "manifest.json").read_bytes())["splits"]["train"]["statistics"]
    model = create(ModelSpec.from_json(best["model"]))
    model.load_state_dict(best["ema"])
    logits = reading.logits(model, statistics, np.stack([found[row["key"]] for row in tested]))
    labels = np.array([[row["label_mask"] >> i & 1 for i in range(19)] for row in tested])
    present = labels.any(0)
    assert np.isclose(result["ap_macro"], average_precision_score(labels[:, present], logits[:, present]), atol=1e-6)
    assert np.isclose(result["loss"], np.mean(np.logaddexp(0, logits) - labels * logits), rtol=1e-5)
    return {row["key"]: np.round(values.astype(float), 6).tolist() for row, values in zip(tested, logits, strict=True)}


def _pack(path: Path, names: list[str]) -> None:
    """Pack files and folders; the same ones give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            below = sorted(Path(name).rglob("*")) if Path(name).is_dir() else []
            for member in [Path(name), *below]:
                info = archive.gettarinfo(member)
                info.uid, info.gid, info.uname, info.gname, info.mtime = 0, 0, "", "", MODIFIED
                info.mode = 0o755 if info.isdir() else 0o644
                with member.open("rb") if info.isfile() else io.BytesIO() as file:
                    archive.addfile(info, file if info.isfile() else None)
    path.write_bytes(lzma.compress(buffer.getvalue(), check=lzma.CHECK_CRC64, preset=9 | lzma.PRESET_EXTREME))


def _json(values: Any, level: int = 4) -> str:
    """Return JSON in lines down to a level, so that a difference is one of lines."""
    if level == 0 or not isinstance(values, dict) or not values:
        return json.dumps(values)
    lines = (f"{json.dumps(name)}: {_json(value, level - 1)}" for name, value in values.items())
    return "{\n" + ",\n".join(lines) + "\n}" + ("\n" if level == 4 else "")


if __name__ == "__main__":
    main()
