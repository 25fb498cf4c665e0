"""Write the reference of `shards` and `trainer` as HTML: `python -m tools.docs OUT`.

Needs the extra `test`.
"""

import argparse
from pathlib import Path

from tools.arguments import run
from tools.docs.generate import generate


def main() -> None:
    """Write the pages, and print how many."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.docs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="Folder for the pages, absent or empty.")
    out: Path = parser.parse_args().out
    print(f"{out / 'index.html'}: {len(generate(out))} pages")


if __name__ == "__main__":
    run(main)
