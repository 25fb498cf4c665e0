"""Table of what the preparation of a batch costs on a GPU, by engine: `python -m tools.gpu.predict.launches`.

Nothing of it is measured.
"""

import argparse
from collections.abc import Mapping, Sequence

from tools.arguments import count, run
from tools.gpu.predict.engines import CARDS, CASES, ENGINES, PATCHES, Case, Found, target


def render(found: Mapping[tuple[str, Case], Found], batch_size: int) -> str:
    """Return what was found, by engine and case, as a table for a terminal."""
    head = ("engine", "recipe", "layout", "pixels", "launches", "+ rest", "MB a patch", "+ rest")
    rows = [(*head, *(card.name for card in CARDS), "target")]
    for (engine, case), costs in found.items():
        rows.append(
            (
                engine,
                case.recipe,
                case.layout,
                case.interpolation,
                str(costs.images.launches),
                str(costs.rest.launches),
                f"{costs.images.device_bytes / PATCHES / 1e6:.2f}",
                f"{costs.rest.device_bytes / PATCHES / 1e6:.2f}",
                *(f"{costs.patches_per_second(card, batch_size):,.0f}/s" for card in CARDS),
                f"{target(engine):,}/s",
            )
        )
    title = f"predicted, not measured: a batch of {batch_size} patches of 12 bands, from memory to the model"
    return table(title, rows)


def render_operators(found: Mapping[tuple[str, Case], Found]) -> str:
    """Return what the images cost by operator, for the engines that have some, as a table for a terminal."""
    rows = [("engine", "recipe", "layout", "pixels", "operator", "launches", "kB a patch")]
    for (engine, case), costs in found.items():
        for name, cost in costs.operators.items():
            kilobytes = f"{cost.device_bytes / PATCHES / 1e3:,.0f}"
            rows.append((engine, case.recipe, case.layout, case.interpolation, name, str(cost.launches), kilobytes))
    return table("predicted, not measured: the images by operator, without what follows them", rows)


def table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows below a title, columns flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join([title, *("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="Predict what preparing a batch costs a GPU.", prog="python -m tools.gpu.predict.launches"
    )
    parser.add_argument("--batch-size", type=count, default=512, help="default: 512")
    parser.add_argument("--operators", action="store_true", help="also print the operators of DALI's graphs")
    options = parser.parse_args(arguments)
    found = {(name, case): find(case) for name, find in ENGINES.items() for case in CASES}
    print(render(found, options.batch_size))
    if options.operators:
        print(f"\n{render_operators(found)}")
    return 0


if __name__ == "__main__":
    run(main)
