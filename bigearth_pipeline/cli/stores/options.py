"""Options that several commands have, and values of options of a form of their own."""

import re

import click

stall_minutes = click.option(
    "--stall-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=10,
    show_default=True,
    help="End after this many minutes without a finished patch.",
)


def split_shares(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    """Parse `hash:TRAIN/VALIDATION/TEST` (percent)."""
    if value is None:
        return None
    kind, _, text = value.partition(":")
    parts = text.split("/")
    if kind != "hash" or len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is not of the form hash:80/10/10")
    train, validation, test = (int(part) for part in parts)
    if train + validation + test != 100:
        raise click.BadParameter(f"the shares of {value!r} add up to {train + validation + test}, expected 100")
    return train, validation, test


def scheduler_address(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no address, which Dask would only do after a while."""
    if value is None:
        return None
    found = re.fullmatch(r"((tcp|tls|ucx|ws|wss)://)?[^\s/]+:(\d{1,5})", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not of the form tcp://HOST:PORT")
    if not 1 <= int(found[3]) <= 65535:  # Of larger numbers the lower 16 bits would be taken.
        raise click.BadParameter(f"the port of {value!r} is {int(found[3])}, expected 1 to 65535")
    return value
