"""Pages as a browser's parser sees them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import html5lib

XLINK = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Html:
    """A parsed page.

    Attributes:
        text: the source.
        root: the tree, by the rules of HTML 5; names are without name spaces.
    """

    text: str
    root: Element

    @classmethod
    def of(cls, content: bytes) -> "Html":
        """Parse a page; anything that is no HTML 5 is an error."""
        parser = html5lib.HTMLParser(html5lib.getTreeBuilder("etree"), strict=True, namespaceHTMLElements=False)
        return cls(content.decode(), parser.parse(content, transport_encoding="utf-8"))

    def all(self, tag: str) -> list[Element]:
        """Return the elements of a tag, in order; those of SVG too."""
        return [element for element in self.root.iter() if _plain(element.tag) == tag]

    def by_id(self, name: str) -> Element:
        """Return the one element of that identifier."""
        [found] = [element for element in self.root.iter() if element.get("id") == name]
        return found

    def table(self, name: str) -> dict[str, list[str]]:
        """Return the rows of a table's body: the texts of all cells but the first, by the text of the first."""
        rows = [[words(cell) for cell in row] for row in self.by_id(name).iter("tr")]
        heads, body = rows[0], rows[1:]
        assert all(len(row) == len(heads) for row in body), f"{name} has rows of several lengths"
        return {row[0]: row[1:] for row in body}

    def columns(self, name: str) -> list[str]:
        """Return the names of the columns of a table."""
        return [words(cell) for cell in next(self.by_id(name).iter("tr"))]

    def captions(self) -> dict[str, str]:
        """Return the caption of each figure by its identifier."""
        return {
            figure.attrib["id"]: " ".join(words(caption) for caption in figure.iter("figcaption"))
            for figure in self.all("figure")
        }

    def links(self) -> Iterator[tuple[str, str]]:
        """Yield (tag, target) of everything that a browser might ask for or follow."""
        for element in self.root.iter():
            for name in ("src", "href", XLINK, "srcset", "data", "action", "poster", "background"):
                if name in element.attrib:
                    yield _plain(element.tag), element.attrib[name]


def words(element: Element) -> str:
    """Return the text of an element, with single blanks."""
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def number(text: str) -> float:
    """Return the number that a cell shows."""
    return float(text.replace(",", "").replace("−", "-").removesuffix(" %"))


def _plain(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
