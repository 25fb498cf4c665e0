"""Addresses of stores: `s3://bucket/store` and the like, as paths that lead to no file of this machine."""

import os
import re
from pathlib import Path, PosixPath
from typing import Any, Final, NoReturn

from shards.errors import BepError, InvalidValue

SCHEMES: Final = ("s3", "gs", "az", "https", "http")
# A path that was made of an address has only one slash left behind the colon.
_ADDRESS: Final = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*)", re.IGNORECASE | re.DOTALL)

_FOLDED: Final = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE | re.DOTALL)


class Address(PosixPath):
    """The address of a store, or of a file in one.

    It joins as paths do, `address / "manifest.json"`, and is shown as it was written. What would open it as a file
    fails with an error that says so, for it is none. Made by `place_of`.
    """

    __slots__ = ()

    def __str__(self) -> str:
        scheme, *rest = self.parts
        return f"{scheme}//{'/'.join(rest)}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __fspath__(self) -> NoReturn:
        # No ValueError, which Path.exists takes for a file that is absent.
        raise BepError(f"{self} is on object storage, expected a file or a folder of this machine")

    def __reduce__(self) -> tuple[Any, ...]:
        return place_of, (str(self),)

    @property
    def scheme(self) -> str:
        """Return the scheme, such as `s3`."""
        return self.parts[0].removesuffix(":")

    def absolute(self) -> "Address":
        """Return the address, which does not depend on the current folder."""
        return self

    def resolve(self, strict: bool = False) -> "Address":
        """Return the address, which no symbolic link changes."""
        return self


def address_in(path: Path) -> str | None:
    """Return the address that a path was made of, of any scheme; None for a path that leads somewhere or is none.

    `Path` has folded its two slashes into one.
    """
    match = _FOLDED.fullmatch(str(path))
    if match is None or (not isinstance(path, Address) and path.exists()):
        return None
    return f"{match[1]}://{match[2]}"


def check_scheme(place: Path) -> None:
    """Check that a path was not made of an address of a scheme that no store has.

    Raises:
        InvalidValue: it was.
    """
    if not isinstance(place, Address) and (address := address_in(place)):
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise InvalidValue(
            f"an address of {address.partition('://')[0]}:// is that of no store, expected one of {known} or a folder"
        )


def place_of(place: str | os.PathLike[str]) -> Path:
    """Return where a store lies: an `Address`, or a path of this machine.

    Args:
        place: address or path. A folder that is named like a scheme is reached by its absolute path.

    Raises:
        InvalidValue: it is neither; the address names no bucket or host, or holds a password, a query or a fragment.
    """
    if isinstance(place, Address):
        return place
    try:
        text = os.fsdecode(place)
    except TypeError:
        raise InvalidValue(f"the place of a store is {place!r:.60}, expected a path or an address") from None
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return Path(text)
    scheme, rest = match[1].lower(), match[2]
    # What follows is not repeated, for it can be a secret.
    if re.search(r"[?#]", rest) or "@" in rest.partition("/")[0]:
        raise InvalidValue(
            f"an address of {scheme}:// has a user, a query or a fragment, expected none: credentials are taken from "
            "the environment"
        )
    parts = [part for part in rest.split("/") if part]
    if not parts or any(part in (".", "..") for part in parts) or not rest.isprintable():
        raise InvalidValue(f"{scheme}:// is followed by no bucket or host and names, expected {scheme}://NAME/STORE")
    return Address(f"{scheme}:", *parts)
