"""Training rate of timm's network in a plain loop: `python -m tools.gpu.measure.timm_rate resnet50 --batch-size 512`.

It does what `benchmark.py --bench train` of timm does: steps on one random batch that lies on the device, in
channels-last format, with autocast and `cudnn.benchmark`. Optimiser and loss are those that our runs have, so that what
is compared is the loop.
Nothing of this repository's trainer is imported.
"""

import argparse
import json
import statistics
import time
from contextlib import nullcontext
from typing import Any

import timm
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from tools.arguments import count, run

CHANNELS, SIZE, CLASSES = 12, 120, 19


def measure(
    model: str, *, device: torch.device, precision: str, batch_size: int, steps: int, repeats: int, least_seconds: float
) -> Any:
    """Return the rates of passes of `steps` steps, in patches per second, as JSON values.

    Args:
        model: name of timm's network.
        device: where it trains.
        precision: `bf16` or `fp32`.
        batch_size: patches of a step.
        steps: of a lap; one before the passes is not timed.
        repeats: timed passes.
        least_seconds: that a pass takes: it repeats its lap until then.
    """
    torch.backends.cudnn.benchmark = True
    net: Any = timm.create_model(model, in_chans=CHANNELS, num_classes=CLASSES)
    net = net.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    image = torch.randn(batch_size, CHANNELS, SIZE, SIZE, device=device).to(memory_format=torch.channels_last)
    label = torch.randint(2, (batch_size, CLASSES), device=device).float()

    def train() -> None:
        for _ in range(steps):
            with torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext():
                logits = net(image)
            loss: Any = binary_cross_entropy_with_logits(logits.float(), label)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    train()
    rates = []
    for _ in range(repeats):
        start, laps = time.perf_counter(), 0
        while not laps or time.perf_counter() - start < least_seconds:
            train()
            laps += 1
        rates.append(batch_size * steps * laps / (time.perf_counter() - start))
    return {"patches_per_second": rates, "median": statistics.median(rates), "timm": timm.__version__}


def main() -> None:
    """Print the rates as JSON."""
    parser = argparse.ArgumentParser(description="Measure how fast timm's network trains.")
    parser.add_argument("model")
    parser.add_argument("--device", type=torch.device, default="cuda")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--batch-size", type=count, default=512)
    parser.add_argument("--steps", type=count, default=30)
    parser.add_argument("--repeats", type=count, default=5)
    parser.add_argument("--least-seconds", type=float, default=2.0)
    print(json.dumps(measure(**vars(parser.parse_args()))))


if __name__ == "__main__":
    run(main)
