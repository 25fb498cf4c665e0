"""The command `bep export`. Importing this file costs no more than click; the rest is imported when it runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigearth_pipeline.cli.errors import reported
from bigearth_pipeline.cli.places import PLACE, Local

if TYPE_CHECKING:
    from trainer.export.export import Exported

_path = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=_path)
@click.option("--out", required=True, metavar="DIR", type=Local(), help="New folder for the export.")
@click.option("--format", "formats", multiple=True, type=click.Choice(["onnx", "pt2", "weights"]),
              help="Write this beside weights and card; can be repeated; weights for nothing else.  "
              "[default: onnx and pt2]")  # fmt: skip
@click.option("--inputs", default="records", show_default=True, type=click.Choice(["records", "groups"]),
              help="Inputs of ONNX and pt2: uint16 records (n, 80000), or the groups b10, b20 and b60.")  # fmt: skip
@click.option("--shards", metavar="DIR", type=PLACE,
              help="Store whose patches the files are compared with torch on.  [default: that of the run]")  # fmt: skip
@click.option(
    "--license", metavar="ID", help="Licence of the weights for the card, such as apache-2.0.  [default: none]"
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def export(run: Path, formats: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Write the best checkpoint of RUN as files for other programs.

    DIR gets model.safetensors, config.json and README.md (a model card) as the Hugging Face hub has them, and
    model.onnx and model.pt2 (torch.export), which take uint16 pixels and return probabilities. These two are compared
    with torch before DIR gets its name. `bep evaluate` and `bep predict` take DIR in place of a run, or hf://owner/name
    once it is on the hub.
    """
    with reported():
        from bigearth_pipeline.cli.display.console import notes_console
        from bigearth_pipeline.extra import ONNX, require
        from shards.errors import InvalidValue
        from shards.reporting import RESULTS_KEPT
        from trainer.export.export import FORMATS, ExportConfig
        from trainer.export.export import export as work

        if "weights" in formats:
            if others := sorted({*formats} - {"weights"}):
                raise InvalidValue(
                    f"`format=weights` is for weights and card alone, and {', '.join(others)} is beside it"
                )
            for name, default in (("inputs", "records"), ("shards", None)):
                if options[name] != default:
                    raise InvalidValue(
                        f"`{name}=` is for ONNX and pt2, and `format=weights` writes neither; leave it out"
                    )
        chosen = tuple(each for each in FORMATS if each in (formats or FORMATS))
        if "onnx" in chosen:
            require(ONNX, extra="export")
        console = notes_console()
        found = work(ExportConfig(run=run, formats=chosen, **options), say=console.print)
        click.get_current_context().meta[RESULTS_KEPT] = True
        _print(found, as_json=as_json)


def _print(found: "Exported", *, as_json: bool) -> None:
    from bigearth_pipeline.cli.display.console import echo
    from shards.text.words import human_bytes

    if as_json:
        values = {
            "out": str(found.out),
            "files": found.sizes,
            "differences": found.differences,
            "compared_on": found.compared_on,
        }
        click.echo(json.dumps(values, ensure_ascii=False))
        return
    echo(f"written to {found.out}:")
    for name, size in found.sizes.items():
        echo(f"  {name}: {human_bytes(size)}")
    for name, difference in found.differences.items():
        echo(f"greatest difference of a probability between torch and {name}: {difference:.2g} ({found.compared_on})")
