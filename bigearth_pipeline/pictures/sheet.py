"""A sheet of patches: a row for each, pictures side by side and a caption at their right."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from textwrap import wrap
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

MARGIN: Final = 12
"""Pixels around a row, and between pictures."""
TEXT_SIZE: Final = 16
LINE_HEIGHT: Final = 21
TEXT_WIDTH: Final = 52
"""Characters of a line of a caption at most."""
_CHARACTER: Final = 9
"""Pixels that a character takes on average, at most."""
_FRAME: Final = (140, 140, 140)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A patch on the sheet.

    Attributes:
        pictures: each (side, side, 3) uint8.
        titles: above the pictures, a line each.
        lines: of the caption; long ones are wrapped.
    """

    pictures: Sequence[NDArray[np.uint8]]
    titles: Sequence[str]
    lines: Sequence[str]


def joined(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return pictures of one size side by side, with `MARGIN` white pixels between them, (side, columns, 3) uint8."""
    between = np.full((pictures[0].shape[0], MARGIN, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (between, picture)][1:]
    return np.concatenate(parts, axis=1)


def sheet_png(rows: Sequence[Row], scale: int = 2) -> bytes:
    """Return rows as PNG, one below the other.

    Args:
        rows: at least one, all with pictures of one size.
        scale: pixels of the sheet for a pixel of a picture, in each direction.
    """
    captions = [[part for line in row.lines for part in wrap(line, TEXT_WIDTH) or [""]] for row in rows]
    side = rows[0].pictures[0].shape[0] * scale
    height = max(side, *(len(lines) * LINE_HEIGHT for lines in captions)) + LINE_HEIGHT + MARGIN
    num_pictures = max(len(row.pictures) for row in rows)
    size = (MARGIN + num_pictures * (side + MARGIN) + TEXT_WIDTH * _CHARACTER + MARGIN, MARGIN + height * len(rows))
    image = Image.new("RGB", size, "white")
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(TEXT_SIZE)
    for number, (row, lines) in enumerate(zip(rows, captions, strict=True)):
        top = MARGIN + number * height
        for i, (picture, title) in enumerate(zip(row.pictures, row.titles, strict=True)):
            left = MARGIN + i * (side + MARGIN)
            canvas.text((left, top), title, "black", font)
            shown = Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), Image.Resampling.NEAREST)
            # A white picture would have no edge.
            canvas.rectangle((left - 1, top + LINE_HEIGHT - 1, left + side, top + LINE_HEIGHT + side), outline=_FRAME)
            image.paste(shown, (left, top + LINE_HEIGHT))
        left = MARGIN + num_pictures * (side + MARGIN)
        for i, line in enumerate(lines):
            canvas.text((left, top + (i + 1) * LINE_HEIGHT), line, "black", font)
    content = BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()
