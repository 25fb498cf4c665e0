"""Names of classes as people type them."""

import difflib

from shards.errors import InvalidValue
from shards.layout.classes import NINETEEN, Nomenclature


def class_index(text: str, nomenclature: Nomenclature = NINETEEN) -> int:
    """Return the index of the class with a name, in any case, or with the only name that contains the text.

    Raises:
        InvalidValue: no class matches, or more than one does.
    """
    wanted = text.strip().lower()
    names = [name.lower() for name in nomenclature.names]
    if wanted in names:
        return names.index(wanted)
    found = [i for i, name in enumerate(names) if wanted and wanted in name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidValue(
            f"class {text!r:.60} may be {' or '.join(repr(nomenclature.names[i]) for i in found)}; write more of it"
        )
    close = difflib.get_close_matches(wanted, names, 1, 0.4)
    known = nomenclature.names
    hint = f"perhaps {known[names.index(close[0])]!r}" if close else f"there are {'; '.join(known)}"
    raise InvalidValue(f"no class {text!r:.60}; {hint}")


def class_names(text: str, nomenclature: Nomenclature = NINETEEN) -> tuple[str, ...]:
    """Return the names of classes in a list with commas, each as `class_index` takes it, in their order.

    Names that have commas themselves, such as "Beaches, dunes, sands", need no quotes if they are whole.

    Raises:
        InvalidValue: a part matches no class, or more than one.
    """
    parts, found = text.split(","), set[int]()
    whole = [name.lower() for name in nomenclature.names]
    start = 0
    while start < len(parts):
        # The longest whole name that begins here; else a part of a name.
        ends = range(len(parts), start, -1)
        stop = next((end for end in ends if ",".join(parts[start:end]).strip().lower() in whole), start + 1)
        found.add(class_index(",".join(parts[start:stop]), nomenclature))
        start = stop
    return tuple(nomenclature.names[i] for i in sorted(found))
