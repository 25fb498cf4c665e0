"""`bep serve`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigearth_pipeline.cli.places import PLACE, Local
from bigearth_pipeline.cli.run_options import run_option

if TYPE_CHECKING:
    from trainer.definition.choices import DeviceName


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--shards", "stores", metavar="DIR", multiple=True, type=PLACE,
              help="Store to show; can be repeated. Those of the runs are shown anyway.")  # fmt: skip
@click.option("--scene", "scenes", metavar="PREDICTION", multiple=True, type=click.Path(path_type=Path),
              help="Results of bep predict for a scene; can be repeated.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
              help="Address to listen on; one that other machines reach needs --token.")  # fmt: skip
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535),
              help="Port to listen on; 0 takes any that is free.")  # fmt: skip
@click.option("--token", metavar="TEXT", envvar="BEP_SERVE_TOKEN", show_envvar=True,
              help="Text of 16 or more letters and digits that every request needs, as part of its path.")  # fmt: skip
@click.option("--verdicts", default="verdicts.csv", show_default=True, metavar="FILE",
              type=Local(dir_okay=False), help="CSV file of your verdicts on labels.")  # fmt: skip
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@run_option("machine.device", help="Device to compute on.")
def serve(
    runs: tuple[Path, ...], stores: tuple[Path, ...], scenes: tuple[Path, ...], host: str, port: int,
    token: str | None, verdicts: Path, opens: bool, device: "DeviceName | None",
) -> None:  # fmt: skip
    """Show stores, runs and predicted scenes in a browser, from a server on this machine, until Ctrl-C.

    RUN is the folder of a run, or a folder with several. The page has a map of the patches, pictures, labels beside
    probabilities, explanations, the runs with their curves, a check of doubtful labels, and a place to drop images of
    your own. It loads nothing from elsewhere. The API is described at /docs.
    """
    from bigearth_pipeline.cli.errors import reported

    if not (runs or stores or scenes):
        raise click.UsageError("Missing argument 'RUN', the folder of a run; or --shards DIR, or --scene PREDICTION.")
    with reported():
        from bigearth_pipeline.cli.display.console import echo, notes_console
        from bigearth_pipeline.extra import SERVER, require

        require(SERVER, "serve")
        from bigearth_pipeline.serve.config import ServeConfig
        from bigearth_pipeline.serve.server import serve as work

        config = ServeConfig(
            runs=runs, stores=stores, scenes=scenes, host=host, port=port, token=token or None, verdicts=verdicts,
            device=device or "auto",
        )  # fmt: skip
        console = notes_console()

        def ready(address: str) -> None:
            echo(address)
            if opens:
                import webbrowser
                from threading import Thread

                # Some browsers run until their window is closed, and the page needs the server meanwhile.
                Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        work(config, ready, lambda line: console.print(line, soft_wrap=True))
        console.print("stopped")
