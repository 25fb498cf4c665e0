"""Compare loading speeds: `python -m tools.peers.run --patches 2000 --work /dev/shm/peers --install`."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bigearth_pipeline.bench.environment import describe_environment
from tools.arguments import count, run
from tools.peers.client import ROOT
from tools.peers.environments import install
from tools.peers.measure import Plan, Results, convert, measure
from tools.peers.registry import LAYOUTS, PEERS
from tools.peers.report import render, write
from tools.peers.work.checks import PROBES
from tools.peers.work.patches import Patches

SPARE = 1.1
"""Synthetic patches for each that is loaded: some have snow or clouds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; return 0 if no peer has failed."""
    options = _parse(arguments)
    work, source = options.work, options.work / "synth"
    work.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        count = round(options.patches * SPARE) + 20
        command = [sys.executable, "-m", "bigearth_pipeline", "synth", "--out", source, "--patches", str(count)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    patches = Patches.choose(source, options.patches, work / "metadata.parquet")
    patches.save(work / "patches.json")
    plan = Plan(
        peers=options.peers,
        layouts=options.layouts,
        repeats=options.repeats,
        batch_size=options.batch_size,
        workers=options.workers,
        turn_seconds=options.turn_seconds,
        work=work,
        venvs=options.venvs or work / "venvs",
    )
    results = Results(plan.peers)
    if options.install:
        for name in dict.fromkeys(PEERS[name].requirements for name in plan.peers):
            concerned = [peer for peer in plan.peers if PEERS[peer].requirements == name]
            if name:
                _say(f"installing {name}")
                with results.noting(*concerned, doing="installation"):
                    install(name, plan.venvs)
    convert(plan, patches, results, _say)
    for layout in plan.layouts:
        measure(plan, layout, len(patches), results, _say)
    found = _as_json(plan, patches, results, options.remark)
    if options.json:
        write(options.json, found)
    print(render(found))
    return int(any(peer["errors"] for peer in results.peers.values()))


def _as_json(plan: Plan, patches: Patches, results: Results, remark: str) -> dict[str, Any]:
    config = {
        "patches": len(patches),
        "batch_size": plan.batch_size,
        "workers": plan.workers,
        "repeats": plan.repeats,
        "turn_seconds": plan.turn_seconds,
        "probes": min(PROBES, len(patches)),
    }
    sizes = f"--patches {len(patches)} --batch-size {plan.batch_size} --workers {plan.workers}"
    times = f"--repeats {plan.repeats} --turn-seconds {plan.turn_seconds:g}"
    which = "" if plan.peers == tuple(PEERS) else f"--peers {','.join(plan.peers)} "
    return {
        "command": f"python -m tools.peers.run {which}{sizes} {times} --work WORK --install --json FILE",
        "remark": remark,
        "config": config,
        "environment": describe_environment({"work": plan.work}),
        "peers": results.peers,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _names(known: Sequence[str], text: str) -> tuple[str, ...]:
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is unknown, expected some of {','.join(known)}")
    return tuple(name for name in known if name in names)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare how fast systems load the same patches.", prog="run")
    cores = len(os.sched_getaffinity(0))
    every = tuple(PEERS)
    parser.add_argument("--peers", type=lambda text: _names(every, text), default=every, help=", ".join(every))
    parser.add_argument("--layouts", type=lambda text: _names(LAYOUTS, text), default=LAYOUTS, help=", ".join(LAYOUTS))
    parser.add_argument("--patches", type=count, default=2000, help="default: 2000")
    parser.add_argument("--batch-size", type=count, default=256, help="default: 256")
    parser.add_argument("--repeats", type=count, default=5, help="timed rounds; default: 5")
    parser.add_argument("--turn-seconds", type=float, default=1.0, help="a turn takes about so long; default: 1")
    parser.add_argument("--workers", "--threads", type=int, default=cores, help="of each peer; default: one a core")
    parser.add_argument("--work", type=Path, default=Path("/dev/shm/peers"), help="folder for source, stores and logs")
    parser.add_argument("--venvs", type=Path, help="folder of the peers' environments; default: WORK/venvs")
    parser.add_argument("--install", action="store_true", help="make these environments first")
    parser.add_argument("--json", type=Path, help="write the results here, and RESULTS.md beside it")
    parser.add_argument("--remark", default="", help="what a reader of the results must know of this run")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
