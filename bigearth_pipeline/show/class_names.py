"""Names of classes as people type them."""

import difflib

from shards.errors import InvalidValue
from shards.layout.classes import CLASSES


def class_index(text: str) -> int:
    """Return the index of the class with a name, in any case, or with the only name that contains the text.

    Raises:
        InvalidValue: no class matches, or more than one does.
    """
    wanted = text.strip().lower()
    names = [name.lower() for name in CLASSES]
    if wanted in names:
        return names.index(wanted)
    found = [i for i, name in enumerate(names) if wanted and wanted in name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidValue(
            f"class {text!r:.60} may be {' or '.join(repr(CLASSES[i]) for i in found)}; write more of it"
        )
    close = difflib.get_close_matches(wanted, names, 1, 0.4)
    hint = f"perhaps {CLASSES[names.index(close[0])]!r}" if close else f"there are {', '.join(CLASSES)}"
    raise InvalidValue(f"no class {text!r:.60}; {hint}")
