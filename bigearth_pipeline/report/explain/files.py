"""The folder of explanations: a page, pictures and arrays, whole or absent."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.pictures.png import png
from bigearth_pipeline.progress import Phases
from bigearth_pipeline.report.explain.explained import Explained
from bigearth_pipeline.report.explain.page import Results, page_of
from bigearth_pipeline.report.explain.panel import map_picture, true_colour
from bigearth_pipeline.report.page.render import render
from shards.reporting import printable
from shards.storage.atomic import remove_temporary_folders, temporary_beside
from shards.storage.lock import exclusive_beside
from shards.storage.names import named, renamed
from shards.storage.safe_open import read_regular
from shards.text.json_text import parse_json
from trainer.explain.names import OF_PATCHES

FACTS: Final = "explanations.json"
PAGE: Final = "index.html"
TRUE_COLOUR: Final = "true-colour.png"
ARRAYS: Final = "attributions.npz"
_PATCH_FILES: Final = {TRUE_COLOUR, ARRAYS}
_PICTURE: Final = re.compile(rf"[a-z-]+\.(?:{'|'.join(OF_PATCHES)})\.png")
_OWN_FACTS: Final = {"run", "seed", "methods", "pairs"}
_MAX_FACTS_BYTES: Final = 1 << 28
_TIMES: Final = 4
"""Pixels of a picture for each pixel of 10 m, along a side."""


def check_out(out: Path, *, overwrite: bool) -> None:
    """Check that results may be written to a folder, before the work is done.

    Raises:
        PipelineError: it holds something, and that is no explanations or not to be replaced.
    """
    if not out.exists():
        if not out.parent.is_dir():
            raise PipelineError(f"{out.parent} is no folder, expected one in which `out={out}` can be made")
        return
    if not out.is_dir():
        raise PipelineError(f"{out} is a file, expected a folder for `out=`")
    if not any(out.iterdir()):
        return
    if (foreign := _foreign(out)) is not None:
        raise PipelineError(
            f"{out} holds {printable(foreign)}, which is of no explanations; move it elsewhere, or name another folder "
            "by `out=`"
        )
    if not overwrite:
        raise PipelineError(f"{out} holds explanations; use `overwrite=True` to replace them, or another `out=`")


def _foreign(out: Path) -> str | None:
    """Return something in a folder that no explanations consist of; None if all of it is theirs.

    Raises:
        OSError: the folder cannot be read.
    """
    entries = sorted(os.scandir(out), key=lambda entry: entry.name)
    try:
        facts = parse_json(read_regular(out / FACTS, _MAX_FACTS_BYTES))
    except (OSError, ValueError):
        return entries[0].name
    if not isinstance(facts, dict) or not facts.keys() >= _OWN_FACTS:
        return FACTS
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            within = list(os.scandir(entry))
            names = {each.name for each in within if each.is_file(follow_symlinks=False)}
            strange = sorted(name for name in names - _PATCH_FILES if not _PICTURE.fullmatch(name))
            strange += sorted(each.name for each in within if each.name not in names)
            if strange or not names >= _PATCH_FILES:
                return f"{entry.name}/{strange[0]}" if strange else entry.name
        elif entry.name not in (FACTS, PAGE) or not entry.is_file(follow_symlinks=False):
            return entry.name
    return None


def write(out: Path, results: Results, about: dict[str, Any], phases: Phases) -> None:
    """Write all results; the folder appears, or is replaced, when they are complete."""
    with _folder(out) as folder:
        phases.begin("writing", len(results.explained.patches), "patch", "patches")
        for number in range(len(results.explained.patches)):
            _write_patch(folder, results.explained, number)
            phases.advance(1)
        (folder / PAGE).write_bytes(render(page_of(results)))
        content = json.dumps(_without_nan(about | _facts(results)), ensure_ascii=False, indent=1, allow_nan=False)
        (folder / FACTS).write_text(content + "\n", encoding="utf-8")


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold the place of results while the block runs.

    Raises:
        InUse: another process makes explanations there.
        OSError: nothing can be written beside it.
    """
    with exclusive_beside(out, "explain", f"{out} is in use by another explanation"):
        yield


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    place = out.resolve()
    remove_temporary_folders(place)
    temporary = temporary_beside(place)
    with renamed(temporary, out):
        temporary.mkdir()
    try:
        new = temporary / "new"
        with renamed(new, out), named(out):
            new.mkdir()
            yield new
            # Another process may have written there meanwhile.
            check_out(out, overwrite=True)
            if place.exists():
                place.rename(temporary / "old")
            new.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_patch(folder: Path, explained: Explained, number: int) -> None:
    patch = explained.patches[number]
    own = folder / patch.key
    own.mkdir()
    (own / TRUE_COLOUR).write_bytes(_enlarged(true_colour(patch.record)))
    pairs = explained.of_patch(number)
    arrays: dict[str, Any] = {
        "classes": np.array([explained.classes[explained.pairs[pair][1]] for pair in pairs]),
        "bands": np.array(explained.bands),
        "probabilities": explained.probabilities[number, [explained.pairs[pair][1] for pair in pairs]],
    }
    for method, maps in explained.maps.items():
        name = method.replace("-", "_")
        for part in ("pixels", "bands", "band_pixels", "gap", "difference"):
            values = getattr(maps, part)
            if values is not None:
                arrays[f"{name}_{part}"] = values[pairs]
        for pair in pairs:
            picture = map_picture(explained, pair, method)
            if picture is not None:
                label = re.sub(r"[^a-z]+", "-", explained.classes[explained.pairs[pair][1]].lower())
                (own / f"{label}.{method}.png").write_bytes(_enlarged(picture))
    np.savez_compressed(own / ARRAYS, **arrays)


def _enlarged(picture: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    return png(picture.repeat(_TIMES, 0).repeat(_TIMES, 1))


def _facts(results: Results) -> dict[str, Any]:
    explained = results.explained
    importance = results.importance
    return {
        "model": results.model,
        "bands": list(explained.bands),
        "pairs": [
            {
                "patch": explained.patches[number].key,
                "class": explained.classes[label],
                "probability": float(explained.probabilities[number, label]),
            }
            for number, label in explained.pairs
        ],
        "methods": list(explained.maps),
        "impossible": explained.impossible,
        "notes": list(results.notes),
        "sanity": {name: asdict(each) | {"fails": each.fails} for name, each in results.sanity.items()},
        "scores": {name: [asdict(each) for each in found] for name, found in results.scores.items()},
        "agreement": {
            name: [{"pair": pair} | asdict(each) for pair, each in found] for name, found in results.agreement.items()
        },
        "permutation": None
        if importance is None
        else {
            "patches": importance.patches,
            "average_precision": dict(zip(explained.classes, importance.precision.tolist(), strict=True)),
            "loss": {
                name: dict(zip(importance.bands, row, strict=True))
                for name, row in zip(explained.classes, importance.loss.tolist(), strict=True)
            },
        },
    }


def _without_nan(value: Any) -> Any:
    """Return JSON values with null in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
