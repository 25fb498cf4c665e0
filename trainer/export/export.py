"""`bep export` as a function: a run in, a folder out."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from shards.errors import InvalidValue
from shards.storage.names import named
from trainer.data.batch import Draws
from trainer.data.prepare.reference import prepare
from trainer.definition.choices import Interpolation
from trainer.definition.tables import check_fields
from trainer.errors import TrainError
from trainer.export import patches, programs
from trainer.export.card import card, name_of
from trainer.export.folder import CARD, ONNX, PROGRAM, new_folder
from trainer.export.graph import OUTPUT, Graph, Inputs
from trainer.export.scores import measured
from trainer.inference.model_folder import FORMAT_VERSION, WEIGHTS, describe, is_model_folder
from trainer.inference.trained import TrainedRun
from trainer.models.classifier import Classifier
from trainer.models.weights_config import CONFIG
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.store_place import places_of

Format: TypeAlias = Literal["onnx", "pt2"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
TOLERANCE: Final = 1e-4
"""Greatest difference of a probability from torch's that an export may have."""
_LICENCE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.ASCII)
"""Form of the hub's identifiers (https://huggingface.co/docs/hub/repositories-licenses)."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Options of an export; texts are taken for paths. `InvalidValue` if a value is not allowed.

    Attributes:
        run: folder of the run, or of an export, or its address on the hub (see `TrainedRun.read`).
        out: folder to write; it must be absent or empty.
        formats: programs to write beside the weights.
        inputs: of the programs: `records` (n, 80000), or `groups` for `b10`, `b20` and `b60`.
        shards: store whose patches programs are compared with torch on; None for that of the run, or synthetic records.
        license: of the weights, by the hub's identifier, such as `apache-2.0`; None for none that is stated.
        overwrite: replace an export in `out`.
    """

    run: Path
    out: Path
    formats: tuple[Format, ...] = FORMATS
    inputs: Inputs = "records"
    shards: Path | None = None
    license: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Outcome of an export.

    Attributes:
        out: the folder.
        sizes: bytes of each file, by name.
        differences: greatest difference of a probability from torch's, by name of file.
        compared_on: what these were measured on; None if nothing was compared.
    """

    out: Path
    sizes: dict[str, int]
    differences: dict[str, float]
    compared_on: str | None


def export(config: ExportConfig, say: Callable[[str], None] = lambda line: None) -> Exported:
    """Write the best network of a run as a folder that other programs and the Hugging Face hub take.

    Programs are compared with torch before the folder gets its name.

    Args:
        config: what to write.
        say: receives a line before each part that takes seconds.

    Raises:
        InvalidValue: `out` holds something, or lies where the run is; `license` is no identifier of the hub.
        TrainError: the run cannot be used; a program cannot be made, or differs by more than `TOLERANCE`.
        ShardError: the store that is named cannot be read.
        OSError: a file cannot be read or written.
    """
    run = TrainedRun.read(config.run)
    if config.out.resolve() == run.folder.resolve():
        raise InvalidValue(f"{config.out} is the folder that is exported; name a new one")
    if config.license is not None and not _LICENCE.fullmatch(config.license):
        raise InvalidValue(
            f"`license={config.license}` is no identifier of the hub, expected one such as apache-2.0, cc-by-4.0 or "
            "other"
        )
    network = run.create_model().eval()
    with new_folder(config.out, overwrite=config.overwrite) as folder:
        weights_sha256 = _write_weights(network, folder / WEIGHTS)
        values = describe(run.checkpoint, weights_sha256)
        with named(folder / CONFIG):
            (folder / CONFIG).write_bytes(_json(values))
        differences: dict[str, float] = {}
        origin = None
        if config.formats:
            written = run.written
            found = patches.find(config.shards, None if written is None else places_of(written.data.shards, run.folder))
            differences, origin = _write_programs(config, run, network, folder, found, say), found.origin
        if is_model_folder(run.folder):
            say(
                f"{run.folder} is an export, without results: the new card has no scores, and no licence but the one "
                f"that is given; those in {run.folder / CARD} hold for the same weights"
            )
        say("writing the card")
        files = {name: _about(name, config.inputs, network.spec.classes) for name in (WEIGHTS, CONFIG, *differences)}
        text = card(run, network, measured(run), name=name_of(config.out), files=files, license=config.license)
        with named(folder / CARD):
            (folder / CARD).write_text(text, encoding="utf-8")
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Exported(out=config.out, sizes=sizes, differences=differences, compared_on=origin)


def _write_weights(network: Classifier, path: Path) -> str:
    """Write the weights, and return their SHA-256."""
    state = {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    content = safetensors.torch.save(state, {"format": "pt"})
    with named(path):
        path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _write_programs(
    config: ExportConfig,
    run: TrainedRun,
    network: Classifier,
    folder: Path,
    found: patches.Patches,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Write the programs, and return the greatest difference of each from torch by name of file."""
    interpolation = run.trained.data.interpolation
    expected = _by_torch(network, run.checkpoint, interpolation, found.records)
    graph = Graph(network, run.checkpoint.normalisation, interpolation, config.inputs)
    facts = _facts(run.checkpoint, config.inputs)
    say(f"tracing {network.spec.name}")
    program = programs.trace(graph)
    differences = {}
    if "onnx" in config.formats:
        say(f"writing {ONNX}")
        programs.save_onnx(program, graph, folder / ONNX, facts)
        given = programs.call_onnx(folder / ONNX, config.inputs, found.records)
        differences[ONNX] = _difference(expected, given, ONNX, found)
    if "pt2" in config.formats:
        say(f"writing {PROGRAM}")
        programs.save_program(program, folder / PROGRAM, facts)
        given = programs.call_program(folder / PROGRAM, config.inputs, found.records)
        differences[PROGRAM] = _difference(expected, given, PROGRAM, found)
    return differences


def _by_torch(
    network: Classifier, checkpoint: Checkpoint, interpolation: Interpolation, records: NDArray[np.uint16]
) -> NDArray[np.float32]:
    """Return probabilities as evaluations compute them, in float32: by the reference preparation and the network."""
    parts = []
    with torch.inference_mode():
        for record in torch.from_numpy(records):
            batch = prepare(record[None], Draws(), checkpoint.normalisation, network.layout, interpolation)
            parts.append(network(batch).sigmoid().numpy())
    return np.concatenate(parts)


def _difference(expected: NDArray[np.float32], given: NDArray[np.float32], name: str, found: patches.Patches) -> float:
    difference = float(np.abs(given - expected).max())
    if not difference <= TOLERANCE:
        raise TrainError(
            f"{name} would differ from torch by {difference:.2g} on {found.origin}, expected at most {TOLERANCE:g}; "
            "leave this format out"
        )
    return difference


def _facts(checkpoint: Checkpoint, inputs: Inputs) -> dict[str, Any]:
    """Return what a program says of itself, for those who have nothing but its file."""
    return {
        "bep_format_version": FORMAT_VERSION,
        "model": checkpoint.model.name,
        "bands": list(checkpoint.model.bands),
        "class_names": list(checkpoint.classes),
        **({"ignored_labels": list(checkpoint.model.ignored)} if checkpoint.model.ignored else {}),
        "thresholds": checkpoint.thresholds,
        "inputs": inputs,
    }


def _about(name: str, inputs: Inputs, classes: int) -> str:
    """Return what a file of an export is, as a part of a line of Markdown."""
    shapes = (
        "`records`, uint16 (n, 80000): B02 B03 B04 B08 (120×120), B05 B06 B07 B8A B11 B12 (60×60), B01 B09 "
        "(20×20), each "
        "band row by row from the north-west"
        if inputs == "records"
        else "uint16 `b10` (n, 4, 120, 120): B02 B03 B04 B08; `b20` (n, 6, 60, 60): B05 B06 B07 B8A B11 B12; `b60` "
        "(n, 2, 20, 20): B01 B09"
    )
    return {
        WEIGHTS: "the weights",
        CONFIG: "bands, classes, normalisation, thresholds, and how it was trained",
        ONNX: f"ONNX, opset {programs.OPSET}; input {shapes}; output `{OUTPUT}`, float32 (n, {classes})",
        PROGRAM: "the same as a program of `torch.export` (`torch.export.load`)",
    }[name]


def _json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
