"""A store as Python's sequences go: `store[i]`, `for patch in store`, and a line that says what it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex

from shards.layout.patch import Patch

if TYPE_CHECKING:
    from shards.metadata.manifest import Manifest
    from shards.storage.remote.address import Address


class PatchSequence:
    """Patches by position; a part of `Store`."""

    folder: "Path | Address"
    manifest: "Manifest"

    read: Callable[..., Patch]

    def __len__(self) -> int:
        return self.manifest.count

    def __getitem__(self, i: SupportsIndex) -> Patch:
        """Return patch i of the index; negative ones count from the end.

        Raises:
            InvalidValue: it is no integer.
            IndexError: there is no such patch.
            CorruptShard: its record is damaged.
        """
        return self.read(i)

    def __iter__(self) -> Iterator[Patch]:
        return map(self.read, range(len(self)))

    def __repr__(self) -> str:
        return f"<Store {self.folder}: {self.manifest}>"
