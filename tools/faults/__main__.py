"""Try every kind of damage and count the outcomes: `python -m tools.faults --out tools/faults`.

With `--scale 1` it takes about ten minutes on two cores.
"""

import json
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import numpy as np

from tools.faults import band_files, builds, runs, stores
from tools.faults.attempts import Attempts

CODECS = ("blosc-lz4", "bitpack", "raw")


def attempts(work: Path, scale: float, rng: np.random.Generator) -> Iterator[Attempts]:
    """Yield what was tried, kind by kind."""

    def times(count: int) -> int:
        return max(1, round(count * scale))

    source = work / "source"
    for command in (
        ["synth", "--out", str(source), "--patches", "200"],
        *(["build-shards", str(source), "--out", str(work / c), "--codec", c, "--limit", "24"] for c in CODECS),
    ):
        subprocess.run([*builds.BEP, *command], check=True, capture_output=True)
    yield builds.kills(source, work, times(40), rng)
    builds.interrupt(source, work)
    yield builds.damaged_shards(source, work, times(10), rng)
    yield builds.damaged_notes(work / "half", times(600), rng)
    for codec in CODECS:
        kinds = stores.flips(work / codec, times(600), rng)
        # The other files are the same for every codec.
        yield from kinds if codec == "blosc-lz4" else [next(kinds)]
    yield stores.cuts(work / "blosc-lz4", times(300), rng)
    yield stores.strange_files(work / "blosc-lz4")
    yield band_files.headers(source, work, times(6000), rng)
    yield runs.kills(work / "blosc-lz4", work, times(12), rng)
    yield runs.checkpoints(work / "run", times(300), rng)


def _bep(*arguments: object) -> None:
    subprocess.run([*builds.BEP, *map(str, arguments)], check=True, capture_output=True)


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the results.")
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True, max=1000),
    help="Factor of the number of attempts.",
)
@click.option("--seed", default=0, show_default=True)
def main(out: Path, scale: float, seed: int) -> None:
    """Damage stores, sources, builds and runs in every way that is known, and count what becomes of it."""
    found = []
    with tempfile.TemporaryDirectory(prefix="bep-faults-") as folder:
        for kind in attempts(Path(folder), scale, np.random.default_rng(seed)):
            click.echo(_row(kind))
            found.append(kind)
    out.mkdir(parents=True, exist_ok=True)
    about = {"date": date.today().isoformat(), "python": platform.python_version(), "scale": scale, "seed": seed}
    (out / "results.json").write_text(
        json.dumps({**about, "attempts": [kind.to_json() for kind in found]}, indent=1) + "\n"
    )
    head = ["| what was tried | times | outcome |", "|---|---|---|"]
    text = [f"{about['date']}; `python -m tools.faults --out tools/faults --scale {scale:g} --seed {seed}`:", ""]
    (out / "RESULTS.md").write_text("\n".join([*text, *head, *map(_row, found), ""]))
    sys.exit(any(kind.failures for kind in found))


def _row(kind: Attempts) -> str:
    outcomes = "; ".join(f"{count:,} {outcome}" for outcome, count in kind.outcomes.most_common())
    return f"| {kind.what} | {kind.times:,} | {outcomes} |"


if __name__ == "__main__":
    # As an exception does it, so that the folder of temporary data is removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    main()
