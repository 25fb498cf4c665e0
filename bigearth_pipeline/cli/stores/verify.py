"""`bep verify`."""

from pathlib import Path
from typing import Final

import click

from bigearth_pipeline.cli.places import PLACE
from bigearth_pipeline.cli.stores.options import stall_minutes

_MOST_LINES: Final = 20
"""Problems that are printed, a line each."""


@click.command()
@click.argument("folder", metavar="DIR", type=PLACE)
@click.option(
    "--against",
    multiple=True,
    metavar="SOURCE",
    type=click.Path(path_type=Path),
    help="Also compare pixels and places with these GeoTIFFs, bit for bit, and labels, splits, countries, dates and "
    "flags with the tables, lists and files that the build read.",
)
@click.option("--sample", type=click.IntRange(min=1), help="Patches to compare with --against.  [default: all]")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: all cores]")
@stall_minutes
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def verify(
    folder: Path,
    against: tuple[Path, ...],
    sample: int | None,
    workers: int | None,
    stall_minutes: float,
    as_json: bool,
) -> None:
    """Check every checksum, count and record of the store in DIR; exit with 1 if anything is wrong."""
    from bigearth_pipeline.cli.errors import reported

    if sample is not None and not against:
        raise click.UsageError("--sample says how many patches to compare with --against, which is missing")
    from shards.text.words import counted, listed, patches

    with reported():
        import json
        from dataclasses import asdict

        from bigearth_pipeline.build.config import default_workers
        from bigearth_pipeline.cli.display.console import echo
        from bigearth_pipeline.cli.display.patches import PatchProgress
        from bigearth_pipeline.verify.store import verify_store
        from bigearth_pipeline.workers import Limits
        from shards.reporting import RESULTS_KEPT
        from shards.text.words import human_bytes

        with PatchProgress("verifying") as progress:
            findings = verify_store(
                folder,
                against=against,
                sample=sample,
                workers=workers or default_workers(),
                progress=progress,
                limits=Limits.of_minutes(stall_minutes),
            )
        click.get_current_context().meta[RESULTS_KEPT] = not as_json
        if as_json:
            click.echo(json.dumps(asdict(findings)))
        else:
            for problem in findings.problems[:_MOST_LINES]:
                echo(problem)
            if (more := len(findings.problems) - _MOST_LINES) > 0:
                echo(f"and {counted(more, 'problem')} more; --json has all")
            for note in findings.notes:
                echo(note)
            if not findings.problems:
                checked = f"{patches(findings.patches)}, {human_bytes(findings.bytes_read)} checked"
                compared = f", {findings.compared:,} equal to their GeoTIFFs bit for bit" if against else ""
                compared += f", with the same {listed(findings.facts)}" if findings.facts else ""
                echo(f"{folder} is sound: {checked}{compared}")
    if findings.problems:
        number = len(findings.problems)
        raise click.ClickException(f"{folder} has {counted(number, 'problem')}")
