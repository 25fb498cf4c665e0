"""Everything that is photographed: a store, two runs, pages, explanations and a scene, all of synthetic patches."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from affine import Affine

import shards
from shards.layout.bands import BANDS, GROUP_OF
from trainer.explain.names import BAND_OCCLUSION, GRAD_CAM, INTEGRATED_GRADIENTS, OCCLUSION

PATCHES: Final = 480
ROWS, COLUMNS = 6, 8
"""Patches of the scene, down and across."""
_PLACE: Final = (399_960.0, 5_500_020.0)
"""Upper-left corner of the scene, in metres of EPSG:32633."""


@dataclass(frozen=True, slots=True)
class Made:
    """Results of the commands.

    Attributes:
        store: the store.
        runs: folder of both runs.
        store_page: of `bep report STORE`.
        run_page: of `bep report RUN`.
        runs_page: of `bep report RUN RUN`.
        explained_page: of `bep explain RUN`.
        preview: picture of `bep predict RUN SCENE`.
        runs_text: output of `bep runs`.
    """

    store: Path
    runs: Path
    store_page: Path
    run_page: Path
    runs_page: Path
    explained_page: Path
    preview: Path
    runs_text: str


def make(folder: Path) -> Made:
    """Run the commands in a new or empty folder.

    Raises:
        subprocess.CalledProcessError: a command failed; its messages are on stderr.
    """
    folder.mkdir(exist_ok=True)
    store, runs = folder / "store", folder / "runs"
    first, second = runs / "all-bands", runs / "rgb"
    _bep("synth", "--out", folder / "synth", "--patches", PATCHES)
    _bep("build-shards", folder / "synth", "--out", store)
    common = ("--epochs", 6, "--batch-size", 16, "--device", "cpu", "--test", "--lr", 0.002)
    _bep("train", store, "--out", first, *common)
    _bep("train", store, "--out", second, "--bands", "rgb", *common)
    pages = {name: folder / f"{name}.html" for name in ("store", "run", "runs")}
    _bep("report", store, "--out", pages["store"], "--samples", 2)
    _bep("report", first, "--out", pages["run"])
    _bep("report", first, second, "--out", pages["runs"])
    # What the picture shows: permutation importance and the test of the methods take minutes.
    methods = [
        part for name in (GRAD_CAM, INTEGRATED_GRADIENTS, OCCLUSION, BAND_OCCLUSION) for part in ("--method", name)
    ]
    options = ("--random", 2, "--per-patch", 1, "--square", 240, "--no-sanity")
    _bep("explain", first, *options, *methods, "--out", folder / "why")
    scene = write_scene(store, folder / "scene")
    _bep("predict", first, scene, "--out", folder / "map", "--overlap", 0.5, "--baseline", "02.14")
    return Made(
        store=store,
        runs=runs,
        store_page=pages["store"],
        run_page=pages["run"],
        runs_page=pages["runs"],
        explained_page=folder / "why" / "index.html",
        preview=folder / "map" / "preview.png",
        runs_text=_bep("runs", runs.name, cwd=folder),
    )


def write_scene(store: Path, folder: Path) -> Path:
    """Write test patches side by side as the band files of a scene, and return its folder."""
    folder.mkdir()
    with shards.open(store) as opened:
        rows = opened.index.rows("test")
        rows = np.resize(rows, ROWS * COLUMNS)
        patches = [opened.read(int(row)) for row in rows]
    for band in BANDS:
        size, metres = GROUP_OF[band].size, GROUP_OF[band].metres
        pixels = np.stack([patch.band(band) for patch in patches]).reshape(ROWS, COLUMNS, size, size)
        pixels = pixels.transpose(0, 2, 1, 3).reshape(ROWS * size, COLUMNS * size)
        transform = Affine(metres, 0, _PLACE[0], 0, -metres, _PLACE[1])
        profile = {"driver": "COG", "dtype": "uint16", "count": 1, "crs": "EPSG:32633", "transform": transform}
        height, width = pixels.shape
        with rasterio.open(folder / f"{band}.tif", "w", height=height, width=width, **profile) as target:
            target.write(pixels, 1)
    return folder


def _bep(*arguments: object, cwd: Path | None = None) -> str:
    """Run a command and return its output, 160 columns wide; its messages go to stderr."""
    command = [sys.executable, "-m", "bigearth_pipeline", *map(str, arguments)]
    print("$ bep", *arguments, file=sys.stderr, flush=True)
    environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=cwd).stdout
