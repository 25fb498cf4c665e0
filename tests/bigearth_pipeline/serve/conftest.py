"""A small store, two runs on it, and a server that shows them."""

import asyncio
import re
import select
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import Contents, open_contents
from shards.testing.stores import make_store
from tests.support.network.chromium import chromium
from tests.support.running import commands

Result = TypeVar("Result")
CORNERS = tuple((500_000.0 + 1200 * (i % 8), 5_800_000.0 + 1200 * (i // 8)) for i in range(64))
"""Upper-left corners of patches side by side, 8 in a row, m."""
DATES = (datetime(2017, 6, 13), datetime(2017, 12, 1), datetime(2018, 1, 5))


@pytest.fixture(scope="package")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, `first` and `second`, on a store beside them, with predictions of two splits."""
    import torch

    from trainer.config.options import TrainConfig
    from trainer.evaluation.run import EvaluationConfig, evaluate_run
    from trainer.training.start import train

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("serve")
    counts = {"train": 32, "validation": 16, "test": 40}
    store = make_store(folder / "store", counts, countries=("Ireland", "Serbia", None), dates=DATES, corners=CORNERS)
    runs = folder / "runs"
    train(TrainConfig.of(shards=store, out=runs / "first", epochs=1, batch_size=8, lr=0.003, test=True))
    evaluate_run(EvaluationConfig(run=runs / "first", split="validation"))
    shutil.copytree(runs / "first", runs / "second")
    return runs


@pytest.fixture(scope="package")
def contents(runs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contents]:
    """The runs and their store, open."""
    verdicts = tmp_path_factory.mktemp("verdicts") / "verdicts.csv"
    config = ServeConfig(runs=(runs_folder,), verdicts=verdicts, device="cpu")
    with open_contents(config, pytest.fail) as opened:
        yield opened


@pytest.fixture(scope="package")
def client(contents: Contents) -> Iterator[Any]:
    """A client of the application in this process, which speaks to it as `127.0.0.1` does."""
    from starlette.testclient import TestClient

    from bigearth_pipeline.serve.app import create_app

    with TestClient(create_app(contents), base_url="http://127.0.0.1:8765") as found:
        yield found


def apart(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine in a thread of its own: in that of the tests the loop of a browser may be running."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: asyncio.run(work())).result()


@contextmanager
def serving(*arguments: object, **options: Any) -> Iterator[tuple[str, Any]]:
    """Run `bep serve` on a free port, with options of `commands.start`; give its address, and the command."""
    command = commands.start("serve", *arguments, "--port", 0, **options)
    try:
        assert command.stdout is not None
        ready, _, _ = select.select([command.stdout], [], [], 120)
        line = command.stdout.readline() if ready else ""
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/(\S+/)?\n", line), (line, command.poll())
        yield line.strip(), command
    finally:
        if command.poll() is None:
            command.terminate()
            command.communicate(timeout=60)


@pytest.fixture(scope="package")
def address(runs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server in a process of its own."""
    verdicts = tmp_path_factory.mktemp("served") / "verdicts.csv"
    with serving(runs_folder, "--verdicts", verdicts, "--device", "cpu") as (found, _):
        yield found


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """A headless Chromium that draws maps without a graphics card."""
    with chromium("--use-angle=swiftshader", "--enable-unsafe-swiftshader") as found:
        yield found


@pytest.fixture
def look(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open a view; the test fails on errors of the console, and on a request to another host."""
    errors: list[str] = []
    contexts = []

    def open_view(path: str = "", *, base: str = address, width: int = 1440, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on(
            "console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((base, "data:", f"blob:{base}"))
                else errors.append(f"asks {request.url}")
            ),
        )
        page.goto(base + path)
        return page

    yield open_view
    for context in contexts:
        context.close()
    # The browser says of a refused upload what the page says better.
    assert [each for each in errors if "status of 415" not in each] == []
