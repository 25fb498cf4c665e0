"""Preparations by DALI and by numba, and their comparison with the one in torch."""

from typing import Any, Literal

import torch

from tests.trainer.data.records import host_batch, random_records
from trainer.data.batch import Batch, Draws
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.backend import Preparation
from trainer.data.prepare.dali.pipeline import DaliPreparation
from trainer.data.prepare.numba import FusedPreparation
from trainer.data.prepare.reference import TorchPreparation
from trainer.definition.augmentation import Augmentation

CPU = torch.device("cpu")
D4 = Augmentation(turn="d4")
# `batched` is DALI with the graphs for a GPU, on the CPU.
Kind = Literal["dali", "batched", "numba"]
KINDS: tuple[Kind, ...] = ("dali", "batched", "numba")


def create(kind: Kind, norm: Normalisation, **options: Any) -> Preparation:
    """Return a preparation on the CPU, unless the options say otherwise, by two threads."""
    if kind == "numba":
        return FusedPreparation(norm, num_threads=2, **options)
    return DaliPreparation(norm, batched=kind == "batched", **{"device": CPU, "num_threads": 2, **options})


def run_both(kind: Kind, draws: Draws, norm: Normalisation, **options: Any) -> tuple[Batch, Batch]:
    """Prepare as many records as there are draws in one way, and by torch on the CPU."""
    n = next((len(v) for v in (getattr(draws, name) for name in Draws.__slots__) if v is not None), 3)
    host = host_batch(random_records(n), draws)
    # A larger batch is expected than the one that comes, as at the end of an epoch.
    (ours,) = create(kind, norm, batch_size=n + 1, **options).run([host])
    options["device"] = CPU
    (expected,) = TorchPreparation(norm, batch_size=n + 1, num_threads=2, **options).run([host])
    return ours.batch, expected.batch


def assert_same(ours: Batch, expected: Batch, rtol: float, atol: float) -> None:
    """Compare two batches of which the second one is on the CPU."""
    assert ours.keys() == expected.keys()
    on_gpu = ours["label"].is_cuda
    for name, tensor in ours.items():
        assert tensor.is_cuda == on_gpu, name
        if tensor.ndim == 4:
            assert tensor.dtype == (torch.float16 if on_gpu else torch.float32), name
            assert tensor.is_contiguous(memory_format=torch.channels_last), name
            torch.testing.assert_close(tensor.cpu().float(), expected[name], rtol=rtol, atol=atol, msg=name)
        else:
            torch.testing.assert_close(tensor.cpu(), expected[name], rtol=0, atol=1e-6, msg=name)
