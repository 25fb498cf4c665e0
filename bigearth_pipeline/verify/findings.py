"""Findings of `bep verify`."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Findings:
    """Findings of a check.

    Attributes:
        patches: patches whose records were decoded.
        compared: patches compared with their GeoTIFFs.
        facts: what was compared with the source beside pixels and places, in words.
        bytes_read: bytes of files read.
        problems: what is wrong, a line each.
        notes: what is worth knowing and not wrong, a line each.
        outdated: shards whose source files have changed since the build.
    """

    patches: int = 0
    compared: int = 0
    facts: list[str] = field(default_factory=list)
    bytes_read: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Add what another check found."""
        self.patches += other.patches
        self.compared += other.compared
        self.bytes_read += other.bytes_read
        self.problems += other.problems
        self.notes += other.notes
        self.outdated += other.outdated
