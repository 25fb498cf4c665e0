"""`bep serve` as a command: its address, its end, and what it refuses."""

import json
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from tests import commands
from tests.bigearth_pipeline.serve.conftest import serving

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


def test_what_cannot_be_served_is_one_line(runs_folder: Path, tmp_path: Path) -> None:
    """A mistake ends in a traceback, or opens the server to others."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "other.csv").write_text("a,b\n")
        for words, message in (
            ([], "nothing to show, expected a run, --store DIR or --scene DIR"),
            ([runs_folder, "--host", "0.0.0.0"], "--host 0.0.0.0 is reachable from other machines; use --token TEXT"),
            ([runs_folder, "--token", "short"], "--token is not 16 to 128"),
            ([runs_folder, "--port", port], f"cannot listen on port {port} of 127.0.0.1: Address already in use"),
            ([runs_folder / "absent"], "does not exist"),
            ([tmp_path], "holds no run"),
            (["--store", tmp_path], "manifest.json"),
            (["--scene", tmp_path], "holds no map.tif"),
            ([runs_folder, "--port", 0, "--verdicts", tmp_path / "other.csv"], "name another by --verdicts"),
        ):
            told = commands.run("serve", *words)
            assert told.returncode == 1, told
            assert told.stderr.strip().splitlines()[-1].startswith("Error: ")
            assert message in told.stderr
            assert "Traceback" not in told.stderr
