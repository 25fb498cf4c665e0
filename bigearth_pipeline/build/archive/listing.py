"""The findings of a pass over archives, kept on disk so that a build that is resumed need not read them again."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.source.annotations import Annotation, missing_annotation
from bigearth_pipeline.source.archive.gather import Facts
from bigearth_pipeline.source.tree import ANNOTATION_SUFFIX, Found, Version, find_source_in
from shards.storage.atomic import atomic_write
from shards.storage.safe_open import read_regular

LISTING: Final = "listing.json"
_MAX_BYTES: Final = 2 << 30


@dataclass(slots=True)
class Listing:
    """The members of all archives, besides their pixels.

    Attributes:
        version: of BigEarthNet.
        patches: (patch name, folder) of every patch folder.
        foreign: folders that are no part of BigEarthNet.
        unreadable: (name, path, reason) of folders of which nothing can be read.
        annotations: what the JSON file of a v1 patch says by its folder, or what is wrong with it.
        faults: why a patch cannot be used, by its folder.
        digests: MD5 by the name of an archive, of those of which it was computed.
        synthetic: a tree has the mark of data that were drawn by chance.
        skipped: line on members that are neither files nor folders of a tree; empty if there are none.
    """

    version: Version
    patches: list[tuple[str, str]] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)
    annotations: dict[str, Annotation | str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    synthetic: bool = False
    skipped: str = ""

    @classmethod
    def of(cls, facts: Facts, roots: Sequence[str], digests: dict[str, str]) -> "Listing":
        """Look for a tree in each archive as in a folder.

        Raises:
            PipelineError: one holds none, several, or trees of both versions.
        """
        sources = [find_source_in(Path(root), facts.folders) for root in roots]
        listing = cls(sources[0].version, annotations=facts.annotations, faults=facts.faults, digests=digests)
        for source in sources:
            found: Found = source.scan()
            listing.patches += found.patches
            listing.foreign += found.foreign
            listing.unreadable += found.unreadable
            listing.synthetic = listing.synthetic or source.is_synthetic
        if facts.num_skipped:
            listing.skipped = (
                f"skipped {facts.num_skipped:,} members that are neither files nor folders of a tree, the first: "
                f"{facts.skipped}"
            )
        return listing

    def annotate(self, patches: Sequence[tuple[str, str]]) -> list[Annotation | str]:
        """Return what the JSON file of each (patch name, folder) says, as `source.annotations.read_v1_annotations`."""
        return [
            self.annotations.get(folder) or str(missing_annotation(f"{folder}/{key}{ANNOTATION_SUFFIX}"))
            for key, folder in patches
        ]

    def save(self, folder: Path, identity: dict[str, Any]) -> None:
        """Write the listing into the folder of a spool."""
        with atomic_write(folder / LISTING) as file:
            file.write(json.dumps({"identity": identity, "listing": asdict(self)}).encode())

    @classmethod
    def load(cls, folder: Path, identity: dict[str, Any]) -> "Listing | None":
        """Return the listing in the folder of a spool; None if no listing has that identity."""
        try:
            raw = json.loads(read_regular(folder / LISTING, _MAX_BYTES))
            if raw["identity"] != identity:
                return None
            listing = cls(**raw["listing"])
            listing.patches = [(name, path) for name, path in listing.patches]
            listing.unreadable = [(name, path, why) for name, path, why in listing.unreadable]
            listing.annotations = {
                path: said if isinstance(said, str) else Annotation(*said) for path, said in listing.annotations.items()
            }
            return listing
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None  # Damaged: the pass is done again.
