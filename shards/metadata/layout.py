"""The layout of a store in its manifest: as JSON values, checked against what this program reads."""

import re
from typing import Any, Final, cast

from shards.codec.registry import GROUP_CODECS
from shards.errors import InvalidValue
from shards.layout.bands import GROUPS
from shards.layout.record import DTYPES, MAX_BANDS, MAX_GROUPS, PATCH_METRES, ROLES, S2, RecordGroup, RecordLayout, Role
from shards.text.json_fields import Fields, shown

BITPACK_GROUPS: Final = "blosc-zstd"
"""Codec of groups that name none, in a store whose codec encodes Sentinel-2 records only."""

_FIELDS: Final = ("name", "role", "metres", "bands", "dtype")
_TEXT: Final = re.compile(".*", re.DOTALL)


def resolved(layout: RecordLayout, codec: str) -> RecordLayout:
    """Return a layout whose further groups name their codec.

    Args:
        layout: what is to be stored.
        codec: of the store.

    Raises:
        InvalidValue: its Sentinel-2 record is not that of this program, or a group has a codec that encodes no groups.
    """
    if layout.record != GROUPS:
        raise InvalidValue(f"the layout has another Sentinel-2 record than {', '.join(group.name for group in GROUPS)}")
    default = codec if codec in GROUP_CODECS else BITPACK_GROUPS
    further = []
    for group in layout.extras:
        if group.codec is not None and group.codec not in GROUP_CODECS:
            raise InvalidValue(
                f"codec of group {group.name} is {shown(group.codec)}, expected one of {', '.join(GROUP_CODECS)}"
            )
        named = group.codec or default
        further.append(RecordGroup(group.name, group.metres, group.bands, group.dtype, group.role, named))
    return RecordLayout((*layout.record, *further))


def layout_to_json(layout: RecordLayout) -> list[dict[str, Any]]:
    """Return the groups of a layout as JSON values, in order."""
    groups = []
    for group in layout.groups:
        values = {name: getattr(group, name) for name in _FIELDS} | {"bands": list(group.bands)}
        groups.append(values if group.role == S2 else values | {"codec": group.codec})
    return groups


def layout_from_json(fields: Fields, name: str) -> RecordLayout:
    """Return the layout that `layout_to_json` wrote, from a field of the manifest.

    Raises:
        CorruptShard: a field is of another type.
        InvalidValue: it is no layout of a store that this program reads, or has no group beside the Sentinel-2 record.
    """
    items = fields.items(name)
    if len(items) > MAX_GROUPS:
        raise fields.unexpected(name, f"at most {MAX_GROUPS} groups")
    groups = tuple(_group(Fields(raw, f"{fields.where(name)}[{i}]")) for i, raw in enumerate(items))
    layout = resolved(RecordLayout(groups), BITPACK_GROUPS)  # The groups name all codecs.
    if not layout.extras:
        raise fields.unexpected(name, "a group beside those of the Sentinel-2 record")
    return layout


def _group(fields: Fields) -> RecordGroup:
    role = cast(Role, fields.choice("role", ROLES))
    fields.only(_FIELDS if role == S2 else (*_FIELDS, "codec"))
    bands = fields.items("bands")
    if len(bands) > MAX_BANDS:
        raise fields.unexpected("bands", f"at most {MAX_BANDS} names")
    return RecordGroup(
        name=fields.text("name", _TEXT, "a text"),
        metres=fields.integer("metres", 1, PATCH_METRES),
        bands=tuple(bands),
        dtype=fields.choice("dtype", DTYPES),
        role=role,
        codec=None if role == S2 else fields.choice("codec", GROUP_CODECS),
    )
