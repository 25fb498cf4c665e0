"""Options that several commands have."""

import click

stall_minutes = click.option(
    "--stall-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=10,
    show_default=True,
    help="End after this many minutes without a finished patch.",
)
