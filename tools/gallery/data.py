"""Everything that is photographed: a store, two runs, pages, explanations and a scene, all of synthetic patches."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.scene import write_scene
from trainer.explain.names import BAND_OCCLUSION, GRAD_CAM, INTEGRATED_GRADIENTS, OCCLUSION

PATCHES: Final = 480
ROWS, COLUMNS = 6, 8
"""Patches of the scene, down and across."""


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
    # From the folder of the runs, and with predictions of both splits: pages name no temporary folder, and no command
    # that somebody has left out.
    _bep("evaluate", first.name, "--split", "validation", cwd=runs)
    _bep("report", first.name, "--out", pages["run"], cwd=runs)
    _bep("report", first.name, second.name, "--out", pages["runs"], cwd=runs)
    # What the picture shows: permutation importance and the test of the methods take minutes.
    methods = [
        part for name in (GRAD_CAM, INTEGRATED_GRADIENTS, OCCLUSION, BAND_OCCLUSION) for part in ("--method", name)
    ]
    options = ("--random", 2, "--per-patch", 1, "--square", 240, "--no-sanity")
    _bep("explain", first, *options, *methods, "--out", folder / "why")
    scene = write_scene(store, folder / "scene", 120 * ROWS, 120 * COLUMNS)
    _bep("predict", first, scene, "--out", folder / "map", "--overlap", 0.5, "--baseline", "02.14")
    return Made(
        store=store,
        runs=runs,
        store_page=pages["store"],
        run_page=pages["run"],
        runs_page=pages["runs"],
        explained_page=folder / "why" / "index.html",
        preview=folder / "map" / "preview.png",
        runs_text=_bep("runs", runs.name, cwd=folder, columns=200),
    )


def _bep(*arguments: object, cwd: Path | None = None, columns: int = 160) -> str:
    """Run a command and return its output; its messages go to stderr."""
    command = [sys.executable, "-m", "bigearth_pipeline", *map(str, arguments)]
    print("$ bep", *arguments, file=sys.stderr, flush=True)
    environment = os.environ | {"COLUMNS": str(columns), "NO_COLOR": "1"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=cwd).stdout
