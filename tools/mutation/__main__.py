"""`python -m tools.mutation`: the share of small changes of the code that its quick tests notice."""

import argparse
import json
import platform
import random
import shutil
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tools.arguments import count, run
from tools.mutation.execute import outcome, prepare
from tools.mutation.mutants import mutants_of
from tools.mutation.targets import EQUIVALENT, TARGETS

ROOT: Final = Path(__file__).resolve().parents[2]
RECORD: Final = ROOT / "tools/records/tests/mutation.json"
_COPIED: Final = ("shards", "bigearth_pipeline", "trainer", "tools", "tests", "pyproject.toml")
_PACKAGES: Final = ("cosmic-ray", "pytest", "hypothesis", "numpy", "pyarrow")


def main() -> int:
    """Measure, print and write the record; return 1 if the tests fail without any change."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.mutation")
    parser.add_argument("files", nargs="*", metavar="FILE", help="files to mutate; default: all that are recorded")
    parser.add_argument("--most", type=count, metavar="N", help="mutants of a file, a random sample; default: all")
    parser.add_argument("--out", type=Path, default=RECORD, metavar="JSON", help="record to write or add to")
    arguments = parser.parse_args()
    if unknown := set(arguments.files) - TARGETS.keys():
        parser.error(f"{sorted(unknown)[0]}, expected some of {', '.join(TARGETS)}")
    prepare()
    record: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    with tempfile.TemporaryDirectory(prefix="bep-mutation-") as temporary:
        copy = Path(temporary) / "code"
        copy.mkdir()
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy / name)
        (Path(temporary) / "shared").symlink_to(ROOT.parent / "shared")
        for file in arguments.files or TARGETS:
            if (measured := _measure(copy, file, arguments.most)) is None:
                print(f"{file}: the tests fail without a change")
                return 1
            record[file] = measured
            arguments.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
            print(f"{file}: {measured['killed']} of {measured['tried'] - measured['equivalent']} noticed", flush=True)
    return 0


def _measure(copy: Path, file: str, most: int | None) -> dict[str, Any] | None:
    """Return the result for a file; None if its tests fail as it is."""
    source = (copy / file).read_text()
    whole = outcome(copy, TARGETS[file], 600)
    if whole.fate != "survived":
        return None
    # A file that cannot even be imported: whoever does not notice that does not read the copy.
    (copy / file).write_text("raise AssertionError")
    if outcome(copy, TARGETS[file], 600).fate == "survived":
        raise AssertionError(f"the tests of {file} do not import it from {copy}")
    (copy / file).write_text(source)
    seconds = 10 + 3 * whole.seconds
    mutants = list(mutants_of(source))
    chosen = mutants if most is None else random.Random(0).sample(mutants, min(most, len(mutants)))
    killed, too_slow, equivalent, survivors = 0, 0, 0, []
    for mutant in chosen:
        (copy / file).write_text(mutant.text)
        if (fate := outcome(copy, TARGETS[file], seconds).fate) != "survived":
            killed += 1
            too_slow += fate == "too slow"
        elif reason := EQUIVALENT.get((file, mutant.after)):
            equivalent += 1
            survivors.append({"line": mutant.before, "changed": mutant.after, "equivalent": reason})
        else:
            survivors.append({"line": mutant.before, "changed": mutant.after})
    (copy / file).write_text(source)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        "tests": TARGETS[file],
        "mutants": len(mutants),
        "tried": len(chosen),
        "sample": None if most is None else "at random, seed 0",
        "killed": killed,
        "of them too slow": too_slow,
        "equivalent": equivalent,
        "percent": round(100 * killed / max(1, len(chosen) - equivalent), 1),
        "survivors": survivors,
    }


if __name__ == "__main__":
    run(main)
