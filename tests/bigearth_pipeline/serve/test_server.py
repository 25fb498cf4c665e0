"""`bep serve` as a command: its address, its end, and what it refuses."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.bigearth_pipeline.serve.conftest import serving
from tests.support.running import commands

pytestmark = pytest.mark.long
TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(runs_folder: Path, tmp_path: Path, number: int) -> None:
    """Ctrl-C ends in a traceback, waits for a stream of events, or leaves the port in use."""
    with serving(runs_folder, "--verdicts", tmp_path / "v.csv", "--token", TOKEN) as (address, command):
        assert address.endswith(f"/{TOKEN}/")
        with urllib.request.urlopen(f"{address}api/about", timeout=30) as answer:
            assert len(json.load(answer)["runs"]) == 2
        with urllib.request.urlopen(f"{address}api/runs/0/events", timeout=30) as stream:
            assert stream.readline() == b"event: run\n"
            command.send_signal(number)
            assert command.wait(timeout=30) == 0
        _, errors = command.communicate()
        assert errors.strip().splitlines()[-1] == "stopped"
        assert "Traceback" not in errors
    assert not (tmp_path / "v.csv").exists()


def test_the_browser_opens_the_page_while_the_server_answers(runs_folder: Path, tmp_path: Path) -> None:
    """`--open` opens nothing or another address, or the server waits for the end of a browser that waits for it."""
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(
        f"#!{sys.executable}\nimport os, sys, urllib.request\n"
        "page = urllib.request.urlopen(sys.argv[1], timeout=60).read().decode()\n"
        f"with open({str(seen)!r} + '.new', 'w') as file:\n    file.write(sys.argv[1] + page)\n"
        f"os.rename({str(seen)!r} + '.new', {str(seen)!r})\n"
    )
    browser.chmod(0o755)
    env = os.environ | {"BROWSER": str(browser)}
    with serving("--shards", runs_folder.parent / "store", "--verdicts", tmp_path / "v.csv", "--open", env=env) as (
        address,
        command,
    ):
        end = time.monotonic() + 60
        while not seen.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        assert seen.read_text().startswith(address)
        assert "<title>bep serve</title>" in seen.read_text()
        port = address.rpartition(":")[2].strip("/")
        other = commands.run("serve", "--shards", runs_folder.parent / "store", "--port", port)
        assert other.returncode == 1
        assert other.stderr.strip() == (
            f"Error: cannot listen on port {port} of 127.0.0.1: Address already in use; "
            "use another one: --port 0 takes any"
        )
        command.send_signal(signal.SIGINT)
        assert command.wait(timeout=30) == 0


def test_what_is_computed_does_not_hold_up_the_end(runs_folder: Path, tmp_path: Path) -> None:
    """Ctrl-C waits for explanations, or for an upload that never ends."""
    with serving(runs_folder, "--verdicts", tmp_path / "v.csv", "--device", "cpu") as (address, command):
        host, port = address.removeprefix("http://").strip("/").split(":")
        with contextlib.ExitStack() as stack:
            asked = stack.enter_context(socket.create_connection((host, int(port))))
            path = "/api/patches/s0/test_1/explanation?run=0&label=2&method=integrated-gradients"
            asked.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            slow = stack.enter_context(socket.create_connection((host, int(port))))
            slow.sendall(
                b"POST /api/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
            )
            with urllib.request.urlopen(f"{address}api/about", timeout=30):
                pass
            command.send_signal(signal.SIGINT)
            assert command.wait(timeout=60) == 0
        _, errors = command.communicate()
        assert errors.strip() == "stopped"


def test_what_cannot_be_served_is_one_line(runs_folder: Path, tmp_path: Path) -> None:
    """A mistake ends in a traceback, or opens the server to others."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "other.csv").write_text("a,b\n")
        store = runs_folder.parent / "store"
        for words, message in (
            ([runs_folder, "--host", "0.0.0.0"], "--host 0.0.0.0 is reachable from other machines; use --token TEXT"),
            ([runs_folder, "--token", "short"], "--token is not 16 to 128"),
            ([runs_folder, "--port", port], f"cannot listen on port {port} of 127.0.0.1: Address already in use"),
            ([runs_folder / "absent"], "does not exist"),
            ([tmp_path], "holds no run"),
            ([store], f"{store} holds no run: it is a store, which is shown by --shards {store}"),
            (["--shards", tmp_path], "manifest.json"),
            (["--scene", tmp_path], "holds no map.tif"),
            ([runs_folder, "--port", 0, "--verdicts", tmp_path / "other.csv"], "name another by --verdicts"),
        ):
            told = commands.run("serve", *words)
            assert told.returncode == 1, told
            assert told.stderr.strip().splitlines()[-1].startswith("Error: ")
            assert message in told.stderr
            assert "Traceback" not in told.stderr
    told = commands.run("serve")
    assert told.returncode == 2
    missing = "Error: Missing argument 'RUN', the folder of a run; or --shards DIR, or --scene PREDICTION.\n"
    assert told.stderr.startswith("Usage: ")
    assert told.stderr.endswith(missing)
