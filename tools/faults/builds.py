"""Damage during a build: kills, flipped bits in finished shards, changed sources."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np

from bigearth_pipeline.build.config import read_build_note
from shards.metadata.manifest import BUILD_NOTE
from tests.support.data.building import contents
from tests.support.data.faults import flip_bit
from tools.faults.attempts import Attempts, flipped, outcome_of, some_bits

BEP = [sys.executable, "-m", "bigearth_pipeline"]


def build(source: Path, out: Path, *options: object) -> list[str]:
    """Return the command that builds a store in small shards."""
    return [*BEP, "build-shards", str(source), "--out", str(out), "--patches-per-shard", "16", *map(str, options)]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def kills(source: Path, work: Path, times: int, rng: np.random.Generator) -> Attempts:
    """Kill builds (SIGKILL) at random moments, resume each until it is finished, and compare bytes."""
    attempts = Attempts("`bep build-shards` killed at a random moment, then run again")
    whole = work / "whole"
    started = time.monotonic()
    _run(build(source, whole)).check_returncode()
    seconds = time.monotonic() - started
    expected = contents(whole)
    while attempts.times < times:
        out = work / "killed"
        # Several kills in one build; each counts.
        for _ in range(min(4, times - attempts.times)):
            process = subprocess.Popen(build(source, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.2, 1) * seconds)
            process.kill()
            attempts.outcomes["resumed to equal bytes" if process.wait() else "finished before the kill"] += 1
        if not _ends_equal(source, out, expected):
            attempts.outcomes["WRONG"] += 1
        shutil.rmtree(out)
    return attempts


def _ends_equal(source: Path, out: Path, expected: dict[str, bytes]) -> bool:
    """Run a build to its end; return whether the store has these bytes, and say on stderr in what it differs."""
    done, found = _run(build(source, out)), contents(out)
    if done.returncode:
        click.echo(done.stderr, err=True)
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            click.echo(f"{out / name}: other bytes than expected", err=True)
    return not done.returncode and found == expected


def damaged_shards(source: Path, work: Path, times: int, rng: np.random.Generator) -> Attempts:
    """Interrupt builds, flip a bit in a finished shard, resume, and compare bytes."""
    attempts = Attempts("a bit of a finished shard flipped before the build is resumed")
    expected = contents(work / "whole")
    for _ in range(times):
        out = work / "flipped"
        shutil.copytree(work / "half", out)
        shard = rng.choice(sorted(out.glob("*.tar")))
        flip_bit(shard, int(rng.integers(shard.stat().st_size)), int(rng.integers(8)))
        sound = _ends_equal(source, out, expected)
        attempts.outcomes["found, rebuilt to equal bytes" if sound else "WRONG"] += 1
        shutil.rmtree(out)
    return attempts


def damaged_notes(folder: Path, times: int, rng: np.random.Generator) -> Attempts:
    """Flip bits in the note of an unfinished build, one at a time, and read it as a build that resumes does."""
    attempts = Attempts("a bit of build.json flipped in an unfinished store, the note read to resume")
    path = folder / BUILD_NOTE
    sound = {name: value for name, value in (read_build_note(folder) or {}).items() if name != "sha256"}
    for _ in flipped(path, some_bits(path, times, rng)):
        outcome = outcome_of(
            lambda: sound == {name: (read_build_note(folder) or {}).get(name) for name in sound},
            "refused, naming the file",
            "the same values: the bit is in the name of the checksum",
        )
        attempts.outcomes[outcome] += 1
    return attempts


def interrupt(source: Path, work: Path) -> None:
    """Leave in `half` what an interrupted build leaves: some finished shards."""
    while True:
        out = work / "half"
        process = subprocess.Popen(build(source, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(list(out.glob(".build/*.json"))) < 2 and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        process.wait()
        if not (out / "manifest.json").exists():
            return
        shutil.rmtree(out)
