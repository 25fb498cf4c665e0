"""A graph as a program of `torch.export`, as ONNX, and both called from their files."""

import json
import logging
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import Dim, ExportedProgram

from shards.layout.bands import RECORD_VALUES
from shards.storage.names import named
from trainer.errors import TrainError
from trainer.export.graph import OUTPUT, Graph, Inputs, split

OPSET: Final = 18
"""Opset of ONNX: the first one that `torch.onnx.export(dynamo=True)` writes without converting versions."""
BATCH_AXIS: Final = "n"
"""Name of the free axis of inputs and output in ONNX."""
_EXAMPLES: Final = 2
"""Records of the example that a graph is traced with: of one, torch would take the batch size as fixed."""
_BATCH: Final = 8
"""Records of a call of a file that is checked; a last, smaller batch is another size."""
_REASON: Final = 300


def trace(graph: Graph) -> ExportedProgram:
    """Return a graph as a program for batches of any size from 1.

    Raises:
        TrainError: torch cannot trace the network.
    """
    examples = split(torch.zeros((_EXAMPLES, RECORD_VALUES), dtype=torch.uint16), graph.inputs)
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(graph, examples, dynamic_shapes=_free(graph), strict=False)
    except Exception as err:  # What networks of timm do to a tracer can fail in any way.
        raise _refusal(graph, "torch.export", err) from err
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # Lines and paths of the code on this machine.
    return program


def save_program(program: ExportedProgram, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a program as a `.pt2` file, with facts about it as its extra file `bep.json`.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    # By way of memory: of a full disk, torch's own writer says neither file nor reason.
    buffer = BytesIO()
    with _quiet():
        torch.export.save(program, buffer, extra_files={"bep.json": _json(facts)})
    with named(path):
        path.write_bytes(buffer.getbuffer())


def save_onnx(program: ExportedProgram, graph: Graph, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a program as an ONNX file, with facts about it in its metadata, each as JSON.

    Weights of more than 1.5 GB lie in a second file, `path` with `.data` behind it, for ONNX ends at 2 GB.

    Raises:
        TrainError: it has an operation that ONNX has not.
        OSError: it cannot be written; the error names the file.
    """
    examples = split(torch.zeros((_EXAMPLES, RECORD_VALUES), dtype=torch.uint16), graph.inputs)
    try:
        with _quiet():
            found = torch.onnx.export(
                program,
                examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.names),
                output_names=[OUTPUT],
                dynamic_shapes=_free(graph),
                verbose=False,
            )
            assert found is not None
            for node in found.model.graph.all_nodes():
                node.metadata_props.clear()
            found.model.metadata_props.update({name: _json(value) for name, value in facts.items()})
            with named(path):
                found.save(path)
    except OSError:
        raise
    except Exception as err:
        raise _refusal(graph, "ONNX", err) from err


def call_program(path: Path, inputs: Inputs, records: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the probabilities that a `.pt2` file gives for (n, 80000) records, (n, 19)."""
    with _quiet():
        module = torch.export.load(path).module()
    with torch.inference_mode():
        parts = [module(*split(torch.from_numpy(batch), inputs)).numpy() for batch in _batches(records)]
    return np.concatenate(parts)


def call_onnx(path: Path, inputs: Inputs, records: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the probabilities that an ONNX file gives for (n, 80000) records under onnxruntime on the CPU, (n, 19)."""
    # Imported where they are needed: they are an extra of the package.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    parts = []
    for batch in _batches(records):
        values = split(torch.from_numpy(batch), inputs)
        parts.append(session.run([OUTPUT], {name: value.numpy() for name, value in zip(names, values, strict=True)})[0])
    return np.concatenate(parts)


def call_graph(graph: Graph, records: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the probabilities that torch gives for (n, 80000) records, (n, 19)."""
    with torch.inference_mode():
        parts = [graph(*split(torch.from_numpy(batch), graph.inputs)).numpy() for batch in _batches(records)]
    return np.concatenate(parts)


def _batches(records: NDArray[np.uint16]) -> Iterator[NDArray[np.uint16]]:
    for start in range(0, len(records), _BATCH):
        yield np.ascontiguousarray(records[start : start + _BATCH])


def _free(graph: Graph) -> tuple[tuple[dict[int, Dim], ...]]:
    """Return the axes of a graph's inputs that are free: the first one of each, all of one size."""
    axis = Dim(BATCH_AXIS, min=1)
    return (tuple({0: axis} for _ in graph.names),)


def _json(values: Any) -> str:
    return values if isinstance(values, str) else json.dumps(values, ensure_ascii=False, allow_nan=False)


def _refusal(graph: Graph, what: str, err: Exception) -> TrainError:
    reason = textwrap.shorten(str(err) or type(err).__name__, _REASON, placeholder=" …")
    return TrainError(f"{graph.network.spec.name} cannot be exported to {what} ({reason}); leave this format out")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings and reports of the exporters, which are about their own insides, from people."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
