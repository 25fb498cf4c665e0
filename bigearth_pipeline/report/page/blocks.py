"""Blocks of a page: plain values, which `render` turns into HTML. All text is escaped; only drawings are markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Lines of code or of a terminal, and what they are for."""

    kind: ClassVar[str] = "code"
    caption: str
    text: str


@dataclass(frozen=True, slots=True)
class Tiles:
    """The few numbers to see first: (name, value)."""

    kind: ClassVar[str] = "tiles"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: as it is shown.
        order: number that the table is sorted by; None for text, which is sorted as such, after all numbers.
    """

    text: str
    order: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose columns sort at a click.

    Attributes:
        name: identifier on the page, letters, digits and `-`.
        caption: what is listed, and where it is from.
        columns: names; columns whose first cell has an `order` are aligned as numbers.
        rows: cells; a plain text is a cell without order.
        total: the last row, which stays in its place.
        folded: whether only the caption is shown until the reader opens it.
        dense: narrow columns, for many short numbers.
    """

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    total: Sequence[Cell | str] = ()
    folded: bool = False
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """An inline SVG, as `bigearth_pipeline.report.figure.svg` makes it; the only markup that is not escaped."""

    kind: ClassVar[str] = "drawing"
    svg: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG.

    Attributes:
        png: its bytes.
        text: what it shows, for who does not see it.
        label: words below it; empty for none.
    """

    kind: ClassVar[str] = "picture"
    png: bytes
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """Drawings or pictures side by side under one caption.

    Attributes:
        name: identifier on the page, letters, digits and `-`.
        caption: what is seen, with numbers.
        panels: at least one.
        size: `large` (one a row), `medium` (two or three a row), `small` (as many as fit) or `key`, a strip of
            colours.
        legend: (name, number of its colour) of the series, where the panels do not say them.
    """

    kind: ClassVar[str] = "figure"
    name: str
    caption: str
    panels: Sequence[Drawing | Picture]
    size: str = "large"
    legend: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that belong together: a title, pictures in rows of three, and notes, one for each row."""

    title: str
    rows: Sequence[tuple[Sequence[Picture], str]]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Groups of pictures under one caption, as a contact sheet.

    Attributes:
        name: identifier on the page, letters, digits and `-`.
        caption: what is seen, with numbers.
        groups: at least one.
        wide: pictures are at least 160 px wide, and as many of a row side by side as fit.
    """

    kind: ClassVar[str] = "sheet"
    name: str
    caption: str
    groups: Sequence[Group]
    wide: bool = False


Block: TypeAlias = Text | Code | Tiles | Table | Figure | Sheet


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page: identifier for links to it, title, blocks."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        title: heading, and title of the window.
        summary: the sentence below it.
        sections: in order.
        source: what the page is made of, for its foot.
    """

    title: str
    summary: str
    sections: Sequence[Section]
    source: str
