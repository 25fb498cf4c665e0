"""Options of quick runs, changes of what a run has written, and what resuming it says."""

import copy
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from bigearth_pipeline.cli import main
from trainer.config import stored
from trainer.runs import checksum

QUICK: dict[str, Any] = {"model": "test_resnet", "batch_size": 8, "threads": 1, "bands": ("B04", "B03", "B02")}


def refusal(folder: Path, *more: str) -> str:
    """Return the one line that `bep train --resume` ends in."""
    result = CliRunner().invoke(main, ["train", *more, "--resume", str(folder)])
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.output
    return result.stderr


def as_of_old(folder: Path) -> None:
    """Make the folder of a run what it was before there were tables of options, checkpoints included."""
    tables = stored.read(folder).to_json()
    parts = {name: value for table in tables.values() for name, value in table.items()}
    options = {name: parts[name] for table in tables if table != "augmentation" for name in tables[table]}
    options |= {"data": options.pop("shards"), "augmentation": tables["augmentation"]}
    for name in ("start_factor", "final_factor"):
        del options[name]
    description = json.loads((folder / "description.json").read_text())
    (folder / "config.json").write_text(json.dumps({"options": options} | description))
    for name in ("config.toml", "description.json"):
        (folder / name).unlink()
    for path in (folder / "checkpoints").glob("*.pt"):
        hostile(path, config=options)


def hostile(path: Path, **changes: Any) -> None:
    """Change fields of a checkpoint, and sign it as ours."""
    values = checksum.read(path)
    checksum.write(path, copy.deepcopy(values) | changes)
