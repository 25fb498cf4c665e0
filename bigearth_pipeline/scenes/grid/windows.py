"""Windows of a scene: squares of 1,200 m, at a stride that an overlap gives."""

from dataclasses import dataclass
from typing import Final

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.grid.scene import CELL_METRES, Scene
from shards.errors import InvalidValue
from shards.layout.record import PATCH_METRES

SIDE: Final = PATCH_METRES // CELL_METRES
"""Side of a window in cells: 20."""
MOST_OVERLAP: Final = 1 - 1 / SIDE
"""Share of a window at a stride of one cell."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a scene, in rows from north to south; all have the same columns.

    Attributes:
        tops: first cell of each row of windows.
        lefts: first cell of each column of windows.
        stride: cells from one window to the next.
    """

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    stride: int

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.tops) * len(self.lefts)


def stride_of(overlap: float) -> int:
    """Return the stride in cells that is nearest to an overlap, a share of a window's side.

    Raises:
        InvalidValue: the share is not from 0 to 0.95, at which the stride is one cell.
    """
    if not 0 <= overlap <= MOST_OVERLAP:
        raise InvalidValue(f"`overlap={overlap:g}` is not from 0 to {MOST_OVERLAP:g}")
    return round(SIDE * (1 - overlap))


def windows_of(scene: Scene, overlap: float) -> Windows:
    """Return the windows that cover a scene.

    The last window of a row or column ends where the scene ends, so that it overlaps the one before by more.

    Raises:
        BadScene: the scene is smaller than a window.
        InvalidValue: the overlap is not allowed.
    """
    stride = stride_of(overlap)
    if min(scene.rows, scene.columns) < SIDE:
        raise BadScene(
            f"{scene.name} has {scene.columns * CELL_METRES} × {scene.rows * CELL_METRES} m, expected at least "
            f"{PATCH_METRES} × {PATCH_METRES} m, as patches have"
        )
    return Windows(_starts(scene.rows, stride), _starts(scene.columns, stride), stride)


def _starts(cells: int, stride: int) -> tuple[int, ...]:
    last = cells - SIDE
    return (*range(0, last, stride), last)
