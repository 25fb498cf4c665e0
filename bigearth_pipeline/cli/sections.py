"""Help that shows the options of a command in sections."""

from collections.abc import Callable
from typing import Any

import click


class SectionedCommand(click.Command):
    """A command whose options name the section of the help that they belong to."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section, in the order in which the sections first come."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                sections.setdefault(getattr(parameter, "section", "General"), []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)


class SectionedOption(click.Option):
    """An option of a section."""

    def __init__(self, *arguments: Any, section: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section


def section(name: str) -> Callable[..., Callable[[Any], Any]]:
    """Return a function that does what `click.option` does, for options of a section."""

    def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
        return click.option(*names, cls=SectionedOption, section=name, **settings)

    return option
