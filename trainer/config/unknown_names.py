"""Names that are no option: refused, with the option that was perhaps meant."""

import difflib

from shards.errors import InvalidValue
from trainer.definition.check import shown
from trainer.definition.tables import AUGMENT, KEYS, OPTIONS, TABLES


def unknown(name: str) -> InvalidValue:
    """Return the error of a name or key that is no option."""
    return InvalidValue(f"{name} is no option of a run{nearest(name)}")


def unknown_table(name: str) -> InvalidValue:
    """Return the error of a name that is no table of options."""
    return InvalidValue(f"{name} is no table of options, expected one of {', '.join(TABLES)}{nearest(name)}")


def unknown_setting(key: str) -> InvalidValue:
    """Return the error of a key of `--set` that is no option."""
    return InvalidValue(f"there is no option {shown(key)}{nearest(key)}")


def nearest(key: str) -> str:
    """Return the key that a wrong one was perhaps meant to be, as `; perhaps run.seed`; empty if none is like it."""
    name = key.rpartition(".")[2].replace("-", "_")
    known = [*OPTIONS, AUGMENT]
    found = [KEYS[name]] if name in KEYS else difflib.get_close_matches(key.replace("-", "_"), known, 1, 0.6)
    if not found:
        found = [KEYS[close] for close in difflib.get_close_matches(name, KEYS, 1, 0.7)]
    return f"; perhaps {found[0]}" if found else ""
