"""JSON from files that anyone may have written: parsed strictly, and with one kind of error."""

import json
from collections import Counter
from typing import Any


def parse_json(content: bytes) -> Any:
    """Return the value of a JSON text in UTF-8 (RFC 8259).

    Raises:
        ValueError: the bytes are no JSON text, or one that programs read differently: with a name twice in an object,
            with NaN or Infinity, nested too deeply, or with a number of thousands of digits. The message is one line.
    """
    try:
        return json.loads(content.decode(), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError as err:
        raise ValueError(f"byte {err.start} is no UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the name {twice[:60]!r} occurs twice in an object")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
