"""Groups of commands that are imported only when they are called."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import click

from bigearth_pipeline.cli.output_options import with_output_options


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is used, so that help and start-up cost no heavy import."""

    def __init__(
        self, *arguments: Any, lazy: Mapping[str, tuple[Callable[[], click.Command], str]], **settings: Any
    ) -> None:
        """Take the arguments of `click.Group`, and for each subcommand a function that imports it, and a line of help.

        The import is a statement in a function, not a module named as text: tools that look for imports see it.
        """
        super().__init__(*arguments, **settings)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands in the order in which they were given."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in self._lazy:
            return None
        load, _ = self._lazy[cmd_name]
        return with_output_options(load())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand that arguments begin with; for a mistyped name the error says the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as err:
            if close := difflib.get_close_matches(args[0], self._lazy, 1):
                raise click.UsageError(f"{err.message.rstrip('.')}; perhaps {close[0]!r}.", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])
