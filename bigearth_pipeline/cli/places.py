"""Places that commands read from and write to. Importing this file costs no more than click."""

import re
from pathlib import Path
from typing import Any

import click

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


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


class Local(click.Path):
    """The type of an option for a file or a folder of this machine that is written: no address is taken for a path."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if isinstance(value, str) and (found := _SCHEME.match(value)):
            # What follows is not repeated, for it can be a secret.
            self.fail(f"an address of {found[0]} was given, expected a path of this machine", param, ctx)
        return super().convert(value, param, ctx)


PLACE = Place()


def check_name(path: Path | None, suffix: str) -> None:
    """Raise if a result could not be written later, before the work, would lie in a store, or has another suffix."""
    from shards.errors import InvalidValue
    from shards.metadata.place import check_outside_stores

    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise InvalidValue(f"{path} ends in {path.suffix or 'nothing'}, expected {suffix}")
    if not path.absolute().parent.is_dir():
        raise InvalidValue(f"{path.absolute().parent} is no folder, expected one for {path.name}")
    check_outside_stores(path)
