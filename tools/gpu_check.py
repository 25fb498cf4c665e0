"""Check and measure all that only a GPU can show, in ten minutes: `python -m tools.gpu_check --out gpu-check`.

Call it in the root of the repository, on a machine with an NVIDIA GPU and the packages of `pip install -e '.[test]'`.
It makes synthetic patches and a store of each codec, on tmpfs if there is room, and removes them at the end. Then it

1. runs the tests that need a GPU: DALI on the GPU, DALI on the CPU, numba and torch give the same images;
2. trains, trains again with a SIGKILL in the middle of an epoch, resumes that run, and compares the two;
3. measures training with `bep bench train`: a network of timm and one of ours, with and without `--cache gpu`;
4. measures loading from each store, records on the GPU among it, by the passes of `bep bench loader`;
5. trains timm's network in a plain loop, to compare.

Each step has a share of the time, and what it spares is there for the later ones. One that fails or takes too long is
reported with its reason and the others go on; one for which no time is left is skipped. The last thing printed is a
table of targets and figures. OUT gets two files, both written anew after every step: gpu-check.json has all figures
(`settings`, `environment`, `steps`, `targets`), logs.tar.gz what the commands said. More would not come back from
machines that return few files. The exit status is 1 if a step failed or was skipped; a target that is missed is no
failure.

`--device cpu` rehearses the same steps on a CPU, with tiny networks and batches, in less than three minutes; no target
counts as measured then.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from shards.storage.atomic import atomic_write
from tools.arguments import count, positive, run
from tools.gpu.check.actions import Workplace
from tools.gpu.check.execute import Outcome, carry_out
from tools.gpu.check.logs import pack
from tools.gpu.check.machine import choose_work, describe
from tools.gpu.check.plan import SIZES, Size, plan_steps
from tools.gpu.check.targets import judge, render

RESULT = "gpu-check.json"
LOGS = "logs.tar.gz"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 0 if every step was done."""
    options = _parse(arguments)
    size = _size(options)
    if size.device == "cpu":
        # Threads of tiny networks wait for each other for most of the time, on a busy machine for nearly all of it.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.out.mkdir(parents=True, exist_ok=True)
    steps = plan_steps(size)
    found: dict[str, Any] = {"settings": asdict(size) | {"minutes": options.minutes}}
    outcomes: dict[str, Outcome] = {}
    parent = options.work or choose_work(size.patches)
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-check-", dir=parent) as folder:
        work = Path(folder).absolute()
        found["environment"] = describe(work)
        _say(f"data in {work} ({found['environment']['work_file_system']})")
        workplace = Workplace(size, work, work / "logs")
        _say(f"{steps[0].name} …")
        for number, outcome in enumerate(carry_out(steps, options.minutes * 60, workplace.act), 1):
            outcomes[outcome.name] = outcome
            _say(f"  {outcome.status} in {outcome.seconds:.0f} s{f': {outcome.reason}' if outcome.reason else ''}")
            if number < len(steps):
                _say(f"{steps[number].name} …")
            _write(options.out / RESULT, found | {"steps": [one.to_json() for one in outcomes.values()]})
            pack(workplace.logs, options.out / LOGS)
    rows = judge(size, outcomes)
    found |= {"steps": [one.to_json() for one in outcomes.values()], "targets": [asdict(row) for row in rows]}
    _write(options.out / RESULT, found)
    print(render(rows))
    return int(any(outcome.status != "done" for outcome in outcomes.values()))


def _size(options: argparse.Namespace) -> Size:
    given = {name: getattr(options, name) for name in ("patches", "batch_size")}
    return replace(SIZES[options.device], **{name: value for name, value in given.items() if value is not None})


def _write(path: Path, values: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(values, indent=1, ensure_ascii=False).encode() + b"\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Check and measure what only a GPU can show.", prog="python -m tools.gpu_check"
    )
    gpu, cpu = SIZES["cuda"], SIZES["cpu"]
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="folder for results; default: gpu-check")
    parser.add_argument("--device", choices=list(SIZES), default="cuda", help="cpu rehearses; default: cuda")
    parser.add_argument("--minutes", type=positive, default=10.0, help="for all of it; default: 10")
    parser.add_argument("--patches", type=count, help=f"synthetic ones; default: {gpu.patches}, on a CPU {cpu.patches}")
    parser.add_argument("--batch-size", type=count, help=f"default: {gpu.batch_size}, on a CPU {cpu.batch_size}")
    parser.add_argument("--work", type=Path, help="where data goes; default: /dev/shm, or where temporary files go")
    options = parser.parse_args(arguments)
    if any((options.out / name).exists() for name in (RESULT, LOGS)):
        parser.error(
            f"{options.out} holds the results of an earlier check, expected none; name another folder with --out"
        )
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            parser.error("there is no NVIDIA GPU that torch can use; --device cpu rehearses without one")
    return options


if __name__ == "__main__":
    run(main)
