"""Files in the folder of a store, or below its address, that its manifest does not list."""

from collections.abc import Iterable
from typing import Final

from shards import Store
from shards.metadata.manifest import BUILD_NOTE, MANIFEST, Manifest
from shards.text.json_fields import shown
from shards.text.words import counted
from shards.write.contents import LISTS, LOCKS, WORK, look

_MOST_NAMED: Final = 5


def notes_on_unlisted(store: Store) -> list[str]:
    """Return lines about files in a folder that are not of the store, and about what a build has left there."""
    manifest = store.manifest
    found = look(store.folder, manifest.format, len(manifest.shards), manifest.layout)
    paths = unlisted(manifest, [*found.files, *found.temporaries, *found.misplaced, *found.strangers])
    unfinished = set(found.temporaries)
    left = [path for path in paths if path in unfinished or path.startswith(f"{WORK}/")]
    return [*describe([path for path in paths if path not in left]), *_describe(left, "left by a build that was ended")]


def unlisted(manifest: Manifest, paths: Iterable[str]) -> list[str]:
    """Return those of some paths in a store that no check looks at.

    In a Zarr store those in the folders of splits are left out: each of them is a problem, since Zarr's readers would
    find it.
    """
    checked = {MANIFEST, BUILD_NOTE, *LISTS, *LOCKS, *manifest.paths}
    splits = tuple(f"{split}/" for split in manifest.splits) if manifest.format == "zarr" else ()
    return sorted(path for path in set(paths) if path not in checked and not path.startswith(splits))


def describe(paths: list[str]) -> list[str]:
    """Return the line about paths that are not of the store; none if there are none."""
    return _describe(paths, "not of the store, and not checked")


def _describe(paths: list[str], what: str) -> list[str]:
    if not paths:
        return []
    named = ", ".join(shown(path) for path in paths[:_MOST_NAMED])
    return [f"{counted(len(paths), 'path')} {what}: {named}{', …' if len(paths) > _MOST_NAMED else ''}"]
