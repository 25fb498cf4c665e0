"""Names of members: those that a tree has, and those that would lead out of it."""

from typing import Final, NamedTuple

_MAX_LENGTH: Final = 4096
_MAX_DEPTH: Final = 64


class Place(NamedTuple):
    """The place of a member: its folder and its own name, without empty parts, and what is wrong with its path."""

    folder: str
    name: str
    fault: str


def place_of(member: str) -> Place:
    """Return where a member lies in its archive.

    A name that leads elsewhere gets a fault and the place that it would have within the archive, so that the patch
    there can be refused.
    """
    usual = member.removesuffix("/")
    if usual and usual[0] not in "./" and "/." not in usual and "//" not in usual and len(usual) < _MAX_LENGTH:
        folder, _, name = usual.rpartition("/")
        if usual.count("/") < _MAX_DEPTH:
            return Place(folder, name, "")
    fault = "an absolute path" if member.startswith("/") else ""
    parts: list[str] = []
    for part in member.split("/"):
        if part == "..":
            fault = fault or "a path with '..'"
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    if len(member) >= _MAX_LENGTH or len(parts) > _MAX_DEPTH:
        fault = "too long a path"
        parts = [part[:256] for part in parts[-3:]]
    return Place("/".join(parts[:-1]), parts[-1] if parts else "", fault)
