"""Cut land and borders of Europe out of Natural Earth for the maps of `bep report`.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python -m tools.cut_europe package/countries-50m.json [--out FILE]

The source is `countries-50m.json` of npm's `world-atlas`: Natural Earth 1:50m (public domain), admin 0 countries, as
TopoJSON. Needs shapely (`pip install -e '.[test]'`). The same file gives the same bytes; the format of the result is in
`bigearth_pipeline/report/figure/europe.py`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import shapely
from shapely.geometry import LineString, Polygon

from bigearth_pipeline.report.figure.europe import BOX, FILE, UNITS_A_DEGREE
from shards.storage.atomic import atomic_write
from tools.arguments import run

_MIN_AREA: Final = 0.004
"""Square degrees, about 30 km²: smaller islands are left out."""
_TOLERANCE: Final = 0.012
"""Degrees that a simplified line may be off, about the step of the coordinates."""
_ORIGIN: Final = (
    "Natural Earth 1:50m, admin 0 countries (public domain), by npm world-atlas 2.0.2, cut by tools/cut_europe.py"
)


def cut(topology: dict[str, Any]) -> dict[str, Any]:
    """Return the content of the file: origin, rings of land and lines of borders.

    Args:
        topology: a TopoJSON topology with the object `countries`.
    """
    arcs = list(_arcs(topology))
    countries = topology["objects"]["countries"]["geometries"]
    rings = [(i, ring) for i, country in enumerate(countries) for ring in _rings(country)]
    # A border is an arc that two countries have.
    owners = {(number if number >= 0 else ~number, i) for i, ring in rings for number in ring}
    shared = sorted(number for number, times in Counter(number for number, _ in owners).items() if times > 1)
    polygons = [
        shapely.make_valid(Polygon([(x + turn, y) for x, y in points]))
        for points in (_unwrapped(_joined(arcs, ring)) for _, ring in rings)
        if len(points) > 3
        for turn in (-360.0, 0.0, 360.0)
    ]
    box = shapely.box(*BOX)
    land = shapely.unary_union([polygon.intersection(box) for polygon in polygons if polygon.intersects(box)])
    land = land.simplify(_TOLERANCE)
    borders = shapely.line_merge(shapely.unary_union([LineString(arcs[number]).intersection(box) for number in shared]))
    borders = borders.simplify(_TOLERANCE)
    return {
        "origin": _ORIGIN,
        "land": [
            _steps(ring.coords)
            for polygon in _parts(land, "Polygon")
            if polygon.area >= _MIN_AREA
            for ring in (polygon.exterior, *(hole for hole in polygon.interiors if Polygon(hole).area >= _MIN_AREA))
        ],
        "borders": [_steps(line.coords) for line in _parts(borders, "LineString")],
    }


def _arcs(topology: dict[str, Any]) -> Iterator[list[tuple[float, float]]]:
    """Yield the arcs of a quantised topology in degrees (TopoJSON specification, 2.1.3)."""
    (scale_x, scale_y), (left, bottom) = topology["transform"]["scale"], topology["transform"]["translate"]
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            points.append((x * scale_x + left, y * scale_y + bottom))
        yield points


def _rings(geometry: dict[str, Any]) -> list[list[int]]:
    """Return the outer rings of a country as numbers of arcs; `~n` is arc n in the other direction."""
    if geometry["type"] == "Polygon":
        return geometry["arcs"][:1]
    return [polygon[0] for polygon in geometry["arcs"]] if geometry["type"] == "MultiPolygon" else []


def _joined(arcs: list[list[tuple[float, float]]], ring: Iterable[int]) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for number in ring:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        points += arc[1:] if points else arc
    return points


def _unwrapped(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a ring that crosses the antimeridian without the jump from 180° to −180°."""
    turn, before, found = 0.0, points[0][0], []
    for x, y in points:
        turn -= 360.0 * ((x - before > 180) - (x - before < -180))
        before = x
        found.append((x + turn, y))
    return found


def _parts(geometry: Any, kind: str) -> list[Any]:
    """Return the parts of that kind, from the largest, and from the west among equals."""
    parts = [part for part in getattr(geometry, "geoms", [geometry]) if part.geom_type == kind]
    return sorted(parts, key=lambda part: (-part.length, part.bounds))


def _steps(points: Iterable[tuple[float, float]]) -> list[int]:
    """Return points as whole units: the first point, and the step to each further one, x and y in turns."""
    steps: list[int] = []
    before = (0, 0)
    for x, y in points:
        here = (round(x * UNITS_A_DEGREE), round(y * UNITS_A_DEGREE))
        if not steps or here != before:
            steps += (here[0] - before[0], here[1] - before[1])
        before = here
    return steps


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Cut land and borders of Europe out of Natural Earth.")
    parser.add_argument("topology", type=Path)
    default = Path(__file__).resolve().parents[1] / "bigearth_pipeline" / "report" / "data" / FILE
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    content = json.dumps(cut(json.loads(arguments.topology.read_text())), separators=(",", ":")).encode() + b"\n"
    with atomic_write(arguments.out) as file:
        file.write(content)
    print(f"{arguments.out}: {len(content):,} bytes")


if __name__ == "__main__":
    run(main)
