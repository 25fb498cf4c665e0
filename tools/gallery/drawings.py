"""Drawings of the README as SVG: `python -m tools.gallery.drawings` writes them anew.

`flow.svg` is the way of the data; `speed.svg` the rates of loading in `tools/peers/RESULTS.md`, from the same record.
Both have a background of their own, so that they are readable on light and dark pages.
"""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from shards.storage.atomic import atomic_write
from tools.arguments import run

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "tools/gallery/pictures"
RESULTS: Final = ROOT / "tools/peers/results.json"
_FONT: Final = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_INK, _SOFT, _PAPER, _CARD, _LINE = "#1d2733", "#52606d", "#f6f8fa", "#ffffff", "#9aa7b4"
_OURS, _OTHERS = "#0072b2", "#a7b3bf"
"""Blue of the palette of Okabe and Ito, and a grey."""

_STEPS: Final = (
    ("GeoTIFFs", ("BigEarthNet v1, v2", "7 million files", "or an archive, a URL"), False),
    ("bep build-shards", ("Dask workers check,", "encode and count", "every pixel"), True),
    ("store", ("tars or Zarr, a few", "hundred files; index,", "exact statistics"), False),
    ("bep train", ("threads decode; DALI", "or Triton crop, flip,", "normalise on a GPU"), True),
    ("run", ("checkpoints, metrics,", "predictions,", "TensorBoard"), False),
)
_BELOW: Final = (
    (2, ("bep inspect, stats, show", "bep verify", "bep report STORE")),
    (4, ("bep evaluate, runs, report", "bep explain", "bep predict → map", "bep export → ONNX, hub")),
)
"""Commands that read the result of a step."""


def _text(x: float, y: float, words: str, size: float, **attributes: object) -> str:
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{more}>{html.escape(words)}</text>'


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{_FONT}" fill="{_INK}">\n<title>{html.escape(title)}</title>\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="{_PAPER}"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def flow() -> str:
    """Return the way from GeoTIFFs to a trained network, and the commands beside it."""
    width, step, card, top = 1000, 195, 176, 22
    parts = []
    for number, (name, lines, is_command) in enumerate(_STEPS):
        x = 22 + number * step
        middle = x + card / 2
        fill, ink, soft = (_OURS, "#ffffff", "#ffffff") if is_command else (_CARD, _INK, _SOFT)
        parts.append(f'<rect x="{x}" y="{top}" width="{card}" height="106" rx="7" fill="{fill}" stroke="{_LINE}"/>')
        family = {"font_family": "ui-monospace, 'DejaVu Sans Mono', monospace"} if is_command else {}
        parts.append(_text(middle, top + 28, name, 16, text_anchor="middle", font_weight=600, fill=ink, **family))
        parts += [
            _text(middle, top + 52 + 19 * i, line, 13.5, text_anchor="middle", fill=soft)
            for i, line in enumerate(lines)
        ]
        if number:
            y = top + 53
            parts.append(
                f'<path d="M{x - step + card + 2} {y}h{step - card - 4}m-6 -5l6 5l-6 5" fill="none" stroke="{_SOFT}" '
                'stroke-width="2"/>'
            )
    deepest = 0
    for number, commands in _BELOW:
        middle, y = 22 + number * step + card / 2, top + 106
        parts.append(f'<path d="M{middle:g} {y + 4}v20m-5 -6l5 6l5 -6" fill="none" stroke="{_SOFT}" stroke-width="2"/>')
        for i, command in enumerate(commands):
            place = y + 46 + 20 * i
            parts.append(_text(middle, place, command, 13.5, text_anchor="middle"))
            deepest = max(deepest, place)
    title = (
        "GeoTIFFs become a store by bep build-shards, a store a run by bep train; other commands read stores and runs"
    )
    return _svg(width, int(deepest) + 20, title, parts)


def rates(results: Mapping[str, Any], layout: str) -> list[tuple[str, float]]:
    """Return (title, patches/s) of each system that gives a layout, the fastest first: medians."""
    found = [(peer["title"], float(peer[layout]["median"])) for peer in results["peers"].values() if layout in peer]
    return sorted(found, key=lambda item: -item[1])


def speed(results: Mapping[str, Any]) -> str:
    """Return the rates of loading native pixels and float32 images as bars side by side."""
    native, images = rates(results, "native"), rates(results, "float32")
    # Below them systems that give images alone.
    found = native + [each for each in images if each[0] not in dict(native)]
    config, environment = results["config"], results["environment"]
    width, row, top = 1000, 25, 92
    panels = (
        (312, 270, "uint16 pixels as stored", dict(native)),
        (668, 270, "float32 images, flipped and normalised", dict(images)),
    )
    facts = (
        f"{environment['cores']} cores, {config['workers']} workers, shuffled batches of {config['batch_size']}, files "
        f"in memory, medians of {config['repeats']} turns, {environment['date'][:10]}"
    )
    parts = [
        _text(22, 30, "Loading: patches a second", 16, font_weight=600),
        _text(22, 51, facts, 13, fill=_SOFT),
        *(_text(left, top - 12, words, 13, font_weight=600) for left, _, words, _ in panels),
    ]
    for number, (title, _) in enumerate(found):
        y = top + number * row
        name = title.strip("*").replace("`", "").replace("the same chunks", "chunks of 64 patches")
        ours = name.startswith("bep,")
        weight = {"font_weight": 600} if ours else {}
        parts.append(_text(panels[0][0] - 10, y + 15, name, 13, text_anchor="end", **weight))
        for left, length, _, values in panels:
            if title in values:
                end = left + values[title] * length / max(values.values())
                parts += [
                    f'<rect x="{left}" y="{y + 2}" width="{max(1.0, end - left):.1f}" height="{row - 7}" '
                    f'fill="{_OURS if ours else _OTHERS}"/>',
                    _text(round(end + 7), y + 15, f"{values[title]:,.0f}", 13, **weight),
                ]
    return _svg(width, top + len(found) * row + 14, "Patches a second of bep and of other systems", parts)


def drawings() -> dict[str, str]:
    """Return the content of each drawing by its name."""
    return {"flow.svg": flow(), "speed.svg": speed(json.loads(RESULTS.read_text()))}


def main() -> None:
    """Write the drawings."""
    for name, content in drawings().items():
        with atomic_write(FOLDER / name) as file:
            file.write(content.encode())
        print(FOLDER / name)


if __name__ == "__main__":
    run(main)
