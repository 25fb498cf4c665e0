"""Patches and table rows that a build could not use: files and lines that tell of them, and what ends a build."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.select import BAD, NO_FOLDER, NO_ROW, Quarantined, Selection
from bigearth_pipeline.errors import PipelineError
from shards.storage.atomic import atomic_write
from shards.write.contents import QUARANTINE, UNMATCHED


def write_unmatched(config: BuildConfig, selection: Selection) -> dict[str, int]:
    """List table rows without folders and folders without rows in the store; return their numbers by kind.

    Raises:
        PipelineError: there are some, and the build requires that there are none.
    """
    counts = dict(Counter(kind for kind, _ in selection.unmatched))
    path = config.out / UNMATCHED
    if not counts:
        path.unlink(missing_ok=True)
        return counts
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("what", "patch"), *selection.unmatched])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
    if config.require_all:
        facts = ", ".join(f"{counts[kind]:,} × {kind}" for kind in (NO_FOLDER, NO_ROW) if kind in counts)
        raise PipelineError(f"`require_all=True`: {facts}; they are listed in {path}")
    return counts


def write_quarantine(out: Path, bad: Sequence[Quarantined]) -> None:
    """List bad patches in the store, with the reason for each."""
    path = out / QUARANTINE
    if not bad:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as file:
        for patch in sorted(bad, key=lambda patch: (patch.key, patch.folder)):
            file.write(json.dumps(asdict(patch)).encode() + b"\n")


def describe_bad(config: BuildConfig, bad: Sequence[Quarantined]) -> str:
    """Return the line that says why a build with bad patches is not finished."""
    first = min(bad, key=lambda patch: (patch.key, patch.folder))
    allowed = f"more than `allow_bad={config.allow_bad}`" if config.allow_bad else "and none is allowed"
    return (
        f"{len(bad):,} bad {'patch' if len(bad) == 1 else 'patches'}, {allowed}, so the store is not finished; "
        f"the first: {first.key}: {first.reason}. All are in {config.out / QUARANTINE}; mend them and run again, "
        f"or leave them out with `allow_bad={len(bad)}`"
    )


def refuse_empty(selection: Selection, config: BuildConfig) -> None:
    """Refuse a build without a patch.

    Raises:
        PipelineError: no patch is left to store.
    """
    if not selection.entries:
        reasons = [f"{count:,} {reason}" for reason, count in sorted(selection.left_out.items())]
        if selection.bad:
            write_quarantine(config.out, selection.bad)
            first = min(selection.bad, key=lambda patch: (patch.key, patch.folder))
            reasons.append(f"{len(selection.bad):,} × {BAD}, the first: {first.key}: {first.reason}")
        raise PipelineError(f"no patch is left to store: {', '.join(reasons) or 'the source is empty'}")


def refuse_unused_rule(selection: Selection, config: BuildConfig) -> None:
    """Refuse a rule for splits where every patch has one.

    Raises:
        PipelineError: the rule has no effect.
    """
    if config.rules.split_by is not None and not selection.num_split_by_name:
        tables = f"the lists of {config.splits}" if config.splits else "the tables and lists"
        raise PipelineError(f"`split_by=` has no effect: {tables} give a split to every patch; leave it out")


def all_bad(config: BuildConfig) -> PipelineError:
    """Return the error about a build of whose patches none can be used."""
    return PipelineError(f"all patches are bad: see {config.out / QUARANTINE}")
