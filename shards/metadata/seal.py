"""The checksum of a manifest over its own fields."""

import hashlib
import json
from typing import Any


def digest_of(raw: dict[str, Any]) -> str:
    """Return the SHA-256 of all fields of a manifest but `sha256`.

    It is that of their JSON text in ASCII with names in order and without blanks.

    Raises:
        ValueError: a field is nested too deeply.
    """
    rest = {name: value for name, value in raw.items() if name != "sha256"}
    try:
        return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def sealed(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a manifest with the checksum that fits, as the last field."""
    return {name: value for name, value in raw.items() if name != "sha256"} | {"sha256": digest_of(raw)}
