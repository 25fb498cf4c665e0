"""The Hugging Face hub where it does not answer."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import timm

CODE = """
import sys
from pathlib import Path
from trainer.errors import TrainError
from trainer.inference import hub
from trainer.models.create import ModelSpec, create
try:
    if sys.argv[1].startswith("hf:"):
        print(hub.locate(Path(sys.argv[1])).name)
    else:
        print(create(ModelSpec(sys.argv[1], ("B04",)), pretrained=True).loaded)
except TrainError as err:
    print(err)
"""
COMMIT = "0123456789" * 4


class Busy(BaseHTTPRequestHandler):
    """A hub that refuses every request for now."""

    def do_HEAD(self) -> None:
        """Note what is asked of files, and refuse it."""
        if "/resolve/" in self.path:
            self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Keep the output of tests free of requests."""


@pytest.fixture
def busy() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def told(wanted: str, cache: Path, port: int) -> str:
    """Return the one line that a process prints that wants something of a hub on this machine."""
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_ENDPOINT": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-c", CODE, wanted]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return line


def snapshot(cache: Path, repository: str) -> Path:
    """Return a new folder of the cache that is the only state of a repository."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    return folder / "snapshots" / COMMIT


@pytest.mark.long
@pytest.mark.parametrize("wanted", ["test_vit", "hf://owner/net"])
def test_a_hub_that_does_not_answer(wanted: str, busy: ThreadingHTTPServer, tmp_path: Path) -> None:
    """A hub without answers is asked again and again, its library's lines are printed, or the error says no way out."""
    line = told(wanted, tmp_path / "cache", busy.server_port)
    assert len(busy.asked) <= 2  # type: ignore[attr-defined]
    assert "the hub does not answer (" in line
    assert "503" in line
    assert f"its cache {tmp_path / 'cache'} does not hold " in line
    assert "HF_HUB_CACHE=DIR names another cache" in line
    if wanted == "test_vit":
        assert line.startswith("the pretrained weights of test_vit cannot be loaded: ")
        assert "does not hold timm/test_vit.r160_in1k;" in line
        assert line.endswith("give a file of them with `weights=FILE`")
    else:
        assert line.startswith("hf://owner/net cannot be loaded from the Hugging Face hub, nor from its cache: ")


@pytest.mark.long
def test_a_cache_does_for_a_hub_that_does_not_answer(busy: ThreadingHTTPServer, tmp_path: Path) -> None:
    """A cached file is not taken without a hub, or only after all attempts and lines of the library."""
    net = timm.create_model("test_resnet", num_classes=1000)
    safetensors.torch.save_file(
        net.state_dict(), snapshot(tmp_path, "timm/test_resnet.r160_in1k") / "model.safetensors"
    )
    line = told("test_resnet", tmp_path, busy.server_port)
    assert line.startswith("weights of test_resnet as published by timm; ")
    (snapshot(tmp_path, "owner/net") / "config.json").write_text("{}")
    assert told("hf://owner/net", tmp_path, busy.server_port) == COMMIT
    assert len(busy.asked) <= 4  # type: ignore[attr-defined]
