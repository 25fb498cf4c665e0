"""Options of a run on the command line, made from their definition. Importing this file costs no more than click."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import click

from bigearth_pipeline.cli.places import PLACE, Local
from bigearth_pipeline.cli.sections import SectionedCommand, SectionedOption
from trainer.definition.augmentation import DEFAULT_RECIPE, RECIPES, Augmentation
from trainer.definition.data import ALL_BANDS
from trainer.definition.option import MOST
from trainer.definition.tables import AUGMENT, KEYS, OPTIONS, TABLES, Entry

Decorator = Callable[[Any], Any]
_FLAGS = {"data.shards": "DIR", AUGMENT: "--augment"}
"""Options whose flag has another name than the option."""


def run_option(key: str, *, help: str | None = None, default: str | None = None, **settings: Any) -> Decorator:  # noqa: A002
    """Return a decorator that adds the flag of an option; it is None where the flag is not given.

    Args:
        key: of the option, such as `optimisation.lr`.
        help: text in place of that of the definition.
        default: text about the default in place of that of the definition; empty for none.
        settings: of `click.option`.
    """
    entry = OPTIONS[key]
    text = default_text(entry) if default is None else default
    words = entry.option.help if help is None else help
    more: dict[str, Any] = {"type": _type(entry), "metavar": entry.option.metavar or None}
    if bool in entry.kinds:
        more = {"is_flag": True}
    elif int in map(type, entry.choices):
        more["callback"] = _as_number
    elif entry.option.bare is not None:
        more |= {"is_flag": False, "flag_value": entry.option.bare}
    more |= {"help": f"{words}  [default: {text}]" if text else words, "default": None, "cls": SectionedOption}
    return click.option(_long(entry), entry.name, **more | {"section": entry.table.capitalize()} | settings)


def run_flags(**settings: Mapping[str, Any]) -> Decorator:
    """Return a decorator that adds all options of a run that have a flag; `settings` of `run_option` are by name."""

    def add(command: Any) -> Any:
        flags = [
            (entry.table, run_option(key, **settings.get(entry.name, {})))
            for key, entry in OPTIONS.items()
            if entry.option.flag
        ]
        augment = click.option(
            "--augment",
            cls=SectionedOption,
            section="Augmentation",
            type=click.Choice(list(RECIPES)),
            help=f"Recipe of the augmentation, of which --set changes parts.  [default: {DEFAULT_RECIPE}]",
        )
        order = list(TABLES)
        for _, decorator in sorted(
            [(Augmentation.TABLE, augment), *reversed(flags)], key=lambda flag: -order.index(flag[0])
        ):
            command = decorator(command)
        return command

    return add


def default_text(entry: Entry) -> str:
    """Return the default of an option as help shows it; empty for none worth a word."""
    value = entry.default
    if value is None:
        return entry.option.unset
    if value is MISSING or value is False:
        return ""
    if value == ALL_BANDS:
        return "all"
    if value == ():
        return "none"
    if isinstance(value, tuple):
        # As it is written after --set.
        return ",".join(value) if isinstance(value[0], str) else str(list(value))
    return {True: "true"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _as_number(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Return a choice as a number; those of click are texts before its version 8.2."""
    return None if value is None else int(value)


def _type(entry: Entry) -> Any:
    option = entry.option
    if entry.choices:
        return click.Choice([str(each) for each in entry.choices])
    if int in entry.kinds:
        low, high = (None if limit is None else int(limit) for limit in (option.at_least, option.at_most))
        # Highest values that nobody comes near would only fill the help.
        return click.IntRange(low, high if high is not None and high < MOST else None)
    if Path in entry.kinds:
        return Local() if entry.key in ("run.out", "machine.cache_dir") else PLACE
    return click.FLOAT if float in entry.kinds else click.STRING


class RunCommand(SectionedCommand):
    """A command that takes all options of a run, by flags or by `--set`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, and then the options that only `--set` and files take."""
        super().format_options(ctx, formatter)
        for table in TABLES:
            rest = [entry for entry in OPTIONS.values() if entry.table == table and _needs_set(entry)]
            with formatter.section(f"Options of --set and of files, {table}"):
                formatter.write_dl([(f"{entry.key}={_values(entry)}", _help(entry)) for entry in rest])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments; of a flag that there is not, say how `--set` gives the option."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as err:
            name = err.option_name.lstrip("-").replace("-", "_")
            if name in ("map", "no_map"):
                raise click.UsageError("--map and --no-map are --set machine.mapped=true or false", ctx) from None
            close = [name] if name in KEYS else difflib.get_close_matches(name, KEYS, 1, 0.8)
            if not close or OPTIONS[KEYS[close[0]]].option.flag or (err.possibilities and name not in KEYS):
                raise
            entry = OPTIONS[KEYS[close[0]]]
            raise click.UsageError(
                f"there is no option {err.option_name}, expected --set {entry.key}={_values(entry)}", ctx
            ) from None


def _needs_set(entry: Entry) -> bool:
    return not entry.option.flag and entry.default is not MISSING


def _values(entry: Entry) -> str:
    """Return a placeholder for the values of an option."""
    if entry.choices:
        return "|".join(map(str, entry.choices))
    if bool in entry.kinds:
        return "true|false"
    if entry.option.metavar:
        return entry.option.metavar
    return "INTEGER" if int in entry.kinds else "NUMBER" if float in entry.kinds else "[LOW,HIGH]"


def _help(entry: Entry) -> str:
    unit = f" Unit: {entry.option.unit}." if entry.option.unit else ""
    text = default_text(entry)
    return f"{entry.option.help}{unit}{f'  [default: {text}]' if text else ''}"


def has_flag(key: str) -> bool:
    """Return whether an option has a flag of its own."""
    return key in _FLAGS or OPTIONS[key].option.flag


def flag(key: str) -> str:
    """Return an option as it is written on the command line."""
    return _FLAGS.get(key) or (_long(OPTIONS[key]) if has_flag(key) else f"--set {key}")


def _long(entry: Entry) -> str:
    return f"--{entry.name.replace('_', '-')}"
