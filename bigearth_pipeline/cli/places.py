"""Arguments that take a folder of this machine or an address. Importing this file costs no more than click."""

from pathlib import Path
from typing import Any

import click


class Place(click.Path):
    """The type of an argument for a store: a path, or an address such as `s3://bucket/store`."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the place."""
        if not isinstance(value, str) or "://" not in value:
            return super().convert(value, param, ctx)
        # Imported here, since it takes the libraries that read shards along.
        from shards.errors import InvalidValue
        from shards.storage.remote.address import place_of

        try:
            return place_of(value)
        except InvalidValue as err:
            self.fail(str(err), param, ctx)


PLACE = Place()
