"""Draws as the arguments of DALI's operators on a GPU, and the choice of these operators.

A patch is turned first and cropped then: the box of a crop is that of the turned patch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards import RECORD_VALUES
from shards.errors import InvalidValue
from shards.layout.bands import BAND_SLICES, GROUPS
from shards.layout.record import RecordGroup
from trainer.data.batch import CELLS, Draws
from trainer.data.prepare.image_layout import Image
from trainer.definition.augmentation import Augmentation
from trainer.definition.choices import Interpolation


@dataclass(frozen=True, slots=True)
class Span:
    """Bands of one group that are contiguous in a record: from the first to the last one that is selected.

    Attributes:
        group: theirs.
        bands: their names, in the order of the record.
        size: pixels a side of the image that they are for.
    """

    group: RecordGroup
    bands: tuple[str, ...]
    size: int

    @property
    def first(self) -> int:
        """Offset of the first band in a record."""
        return BAND_SLICES[self.bands[0]].start

    @property
    def num_values(self) -> int:
        """Pixels of all bands."""
        return len(self.bands) * self.group.band_values


def spans_of(images: tuple[Image, ...]) -> tuple[Span, ...]:
    """Return the spans that hold the bands of some images, one for each group with a band."""
    found = []
    for image in images:
        for group in GROUPS:
            places = [i for i, band in enumerate(group.bands) if band in image.bands]
            if places:
                found.append(Span(group, group.bands[places[0] : places[-1] + 1], image.size))
    return tuple(found)


def blends_boxes(augmentation: Augmentation, interpolation: Interpolation) -> bool:
    """Return whether boxes are enlarged with bilinear pixels, each by a factor of its own.

    No operator of DALI does that in values of 16 bits: see `trainer.data.prepare.dali.record_graph`.
    """
    return augmentation.crop == "resized" and interpolation == "bilinear"


@dataclass(frozen=True, slots=True)
class Plan:
    """Choice of the operators that prepare a span.

    Attributes:
        augmentation: what is drawn.
        interpolation: how pixels are enlarged.

    Raises:
        ValueError: there are no such operators: see `blends_boxes`.
    """

    augmentation: Augmentation
    interpolation: Interpolation

    def __post_init__(self) -> None:
        if blends_boxes(self.augmentation, self.interpolation):
            raise ValueError("boxes are to be enlarged with bilinear pixels, expected nearest ones: take RecordGraph")

    @property
    def warps(self) -> bool:
        """True if one warp takes bands out of the record, turns them and cuts them out."""
        return self.augmentation.turn != "none" or self.resized

    @property
    def resized(self) -> bool:
        """True if boxes inside the patch are enlarged to the image: by another warp, that writes each pixel once."""
        return self.augmentation.crop == "resized"

    @property
    def slices(self) -> bool:
        """True if boxes are cut out by a slice, which fills what lies outside the patch."""
        return self.augmentation.crop == "pad"

    def smooths(self, span: Span) -> bool:
        """True if a span is enlarged with bilinear pixels after DALI: by the same factor in all patches."""
        return self.interpolation == "bilinear" and span.group.size < span.size


def feeds_of(draws: Draws, spans: tuple[Span, ...], plan: Plan) -> dict[str, NDArray]:
    """Return the arguments by name, C-contiguous, with one row for each of n patches.

    - `take_b10` and so on, (n, 3, 4) float32 for each span if there are warps: see `_take`;
    - `size_b10`, (n, 3) int32, bands and sides of what is cut out, and `grow_b10`, (n, 3, 4): see `_grow`, if crops are
      resized;
    - `start_b10`, `sides_b10`, (n, 2) int32 in pixels of the turned patch, if there are slices.

    Raises:
        ValueError: a box that is to be enlarged reaches outside of the patch.
    """
    feeds: dict[str, NDArray] = {}
    boxes = _turned(draws)
    if plan.resized and boxes is not None:
        beyond = (boxes[:, :2] < 0) | (boxes[:, :2] + boxes[:, 2:] > CELLS)
        if beyond.any():
            raise InvalidValue("a box to be enlarged reaches outside of the patch, expected it inside: use crop pad")
    for span in spans:
        name, cell = span.group.name, span.group.size // CELLS
        if plan.warps:
            corners = boxes[:, :2] * cell if plan.resized and boxes is not None else None
            feeds[f"take_{name}"] = _take(span, draws.turn, corners)
        if boxes is None:
            continue
        sides = boxes[:, 2:] * cell
        if plan.slices:
            feeds |= {f"start_{name}": (boxes[:, :2] * cell).astype(np.int32), f"sides_{name}": sides.astype(np.int32)}
        else:
            feeds[f"size_{name}"] = np.insert(sides, 0, len(span.bands), axis=1).astype(np.int32)
            feeds[f"grow_{name}"] = _grow(sides, span.size)
    return {name: np.ascontiguousarray(array) for name, array in feeds.items()}


def _turned(draws: Draws) -> NDArray[np.int64] | None:
    """Return where the boxes of the crops are in the turned patches, (n, 4) in cells; None without crops."""
    if draws.crop is None:
        return None
    boxes = draws.crop.astype(np.int64)
    if draws.turn is not None:
        transposed, left_right, up_down = draws.turn.astype(np.bool_).T
        boxes = np.where(transposed[:, None], boxes[:, [1, 0, 3, 2]], boxes)
        boxes[up_down, 0] = CELLS - boxes[up_down, 0] - boxes[up_down, 2]
        boxes[left_right, 1] = CELLS - boxes[left_right, 1] - boxes[left_right, 3]
    return boxes


def _take(span: Span, turn: NDArray[np.uint8] | None, corners: NDArray[np.int64] | None) -> NDArray[np.float32]:
    """Return for each patch the affine map from a pixel of the turned bands to its place in the record, (n, 3, 4).

    The record is a volume of 1×1×80000 pixels, the bands one of bands×height×width, and the place of pixel (band, y, x)
    is first + size² · band + a · y + b · x + c, which no turn changes but for a, b and c. Coordinates are in the order
    x, y, z, and those of a pixel's centre end in 1/2: all are multiples of 1/2 below 2^17, exact in float32.

    Args:
        span: the bands.
        turn: (n, 3), or None.
        corners: (n, 2) int64, the upper left pixel of what is cut out of the turned bands; None for all of them.
    """
    size = span.group.size
    num = len(turn) if turn is not None else len(corners) if corners is not None else 0
    turns = np.zeros((num, 3), np.bool_) if turn is None else turn.astype(np.bool_)
    transposed, left_right, up_down = turns.T
    down, across = np.where(transposed, 1, size), np.where(transposed, size, 1)
    begin = span.first + np.where(up_down, down, 0) * (size - 1) + np.where(left_right, across, 0) * (size - 1)
    down, across = np.where(up_down, -down, down), np.where(left_right, -across, across)
    if corners is not None:
        begin = begin + down * corners[:, 0] + across * corners[:, 1]
    maps = np.zeros((num, 3, 4))
    maps[:, 0, 0], maps[:, 0, 1], maps[:, 0, 2] = across, down, size**2
    maps[:, 0, 3] = begin + 0.5 - (across + down + size**2) / 2
    maps[:, 1:, 3] = 0.5
    assert begin.size == 0 or begin.max() < RECORD_VALUES
    return maps.astype(np.float32)


def _grow(sides: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """Return the affine maps from images of `size` pixels a side to the boxes that they show, (n, 3, 4).

    The centre of a pixel falls at (2i + 1) · side / (2 · size), which is never an integer and 1 / (2 · size) away from
    one at least, as sides are odd in cells or `CELLS`: a thousand times what float32 is wrong by.

    Args:
        sides: (n, 2) height and width of the boxes in pixels.
        size: of the images.
    """
    maps = np.zeros((len(sides), 3, 4))
    maps[:, 0, 0], maps[:, 1, 1], maps[:, 2, 2] = sides[:, 1] / size, sides[:, 0] / size, 1
    return maps.astype(np.float32)
