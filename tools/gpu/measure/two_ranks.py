"""Train with two ranks on one GPU: `torchrun --nproc-per-node 2 -m tools.gpu.measure.two_ranks STORE OUT`.

NCCL refuses two ranks on one device, so the ranks speak by gloo. What differs from one rank runs all the same:
DistributedDataParallel, synchronised batch normalisation, and gathering of logits, on CUDA tensors.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import torch.distributed as dist

from tools.arguments import run
from trainer.config.options import TrainConfig
from trainer.training.start import train


def main() -> None:
    """Train for a few steps, and print the macro average precision on the validation split."""
    parser = argparse.ArgumentParser(description="Train with two ranks on one GPU.")
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path, help="new folder for the run")
    parser.add_argument("--device", choices=["auto", "cpu"], default="auto", help="cpu rehearses; default: auto")
    chosen = parser.parse_args()
    os.environ["LOCAL_RANK"] = "0"  # Both take the first GPU.
    original = dist.init_process_group

    def by_gloo(backend: str, **settings: Any) -> None:
        original("gloo", **settings)

    dist.init_process_group = by_gloo
    config = TrainConfig.of(
        shards=chosen.store, out=chosen.out, device=chosen.device, batch_size=64, epochs=1, max_steps=20, threads=2,
        ema=0.9, clip=1.0,
    )  # fmt: skip
    result = train(config)
    if result.validation is not None:
        print(f"rank {os.environ['RANK']}: macro average precision {result.validation.ap_macro}")


if __name__ == "__main__":
    run(main)
