"""Downloads from a real nginx: whole or refused, resumed where they were cut, and never two versions in one file."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bigearth_pipeline.download import disk, files
from bigearth_pipeline.download.client import Patience
from bigearth_pipeline.download.disk import part_paths
from bigearth_pipeline.errors import PipelineError
from shards.errors import InUse
from shards.reporting import one_line
from tests.bigearth_pipeline.download.getting import CONTENT, MD5, get
from tests.support.data.cutting import cutting_proxy
from tests.support.network.web import Web, nginx

ANSWERS: dict[str, tuple[int, dict[str, str]]] = {
    "a size that is no decimal": (206, {"Content-Range": "bytes 0-0/²", "Content-Length": "1"}),
    "a size of thousands of digits": (206, {"Content-Range": f"bytes 0-0/{'9' * 6000}", "Content-Length": "1"}),
    "a wait that is no decimal": (503, {"Retry-After": "²"}),
    "a wait of thousands of digits": (503, {"Retry-After": "9" * 6000}),
    "redirects in a circle": (302, {"Location": "/a.bin"}),
    "a redirect to no address": (302, {"Location": "http://[bad"}),
    "a redirect to another protocol": (302, {"Location": "ftp://127.0.0.1/a.bin"}),
    "a redirect to a port that is none": (302, {"Location": "http://127.0.0.1:99999/"}),
    "a name with control sequences": (404, {"X-Red": "\x9b31m"}),
}


@pytest.mark.product
@pytest.mark.parametrize("name", ANSWERS)
def test_any_answer_of_a_server_is_one_line(name: str, tmp_path: Path) -> None:
    """A server that answers what none should ends a download in a traceback, or keeps it busy without end."""
    status, headers = ANSWERS[name]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status, "\x9b31mred")
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            patience = Patience(attempts=2, first_seconds=0.01, longest_seconds=0.02, silence_seconds=5)
            with pytest.raises(PipelineError) as caught:
                get(f"http://127.0.0.1:{server.server_port}/a.bin", tmp_path / "a.bin", patience=patience)
        finally:
            server.shutdown()
            thread.join()
    line = one_line(caught.value)
    assert line is not None
    assert "\x9b" not in line
    assert "\n" not in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("connections", [1, 4, 9])
@pytest.mark.parametrize("below", ["", "busy/", "plain/"])
def test_a_file_comes_whole(web: Web, tmp_path: Path, connections: int, below: str) -> None:
    """A piece is missing, twice there, or at another place; a server that refuses requests for a while ends it."""
    patience = Patience(attempts=20, first_seconds=0.02, longest_seconds=0.2, silence_seconds=5)
    counts: list[tuple[int, int, int]] = []
    done, lines = get(
        f"{web.url}/{below}big.bin", tmp_path / "a" / "big.bin", connections=connections, patience=patience,
        advance=lambda *count: counts.append(count),
    )  # fmt: skip
    assert done
    assert (tmp_path / "a" / "big.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["big.bin"]
    assert counts[-1] == (len(CONTENT), len(CONTENT), 0)
    assert [done for done, _, _ in counts] == sorted(done for done, _, _ in counts)
    assert any("gives no ranges" in line for line in lines) == (below == "plain/")
    assert get(f"{web.url}/{below}big.bin", tmp_path / "a" / "big.bin") == (False, [])


def test_an_empty_file(web: Web, tmp_path: Path) -> None:
    """A file without a byte, of which there is no range, is an error."""
    empty = hashlib.md5(b"", usedforsecurity=False).hexdigest()
    assert get(f"{web.url}/plain/empty.bin", tmp_path / "empty", size=0, md5=empty)[0]
    assert (tmp_path / "empty").read_bytes() == b""


def test_connections_that_are_cut_go_on_where_they_were(web: Web, tmp_path: Path) -> None:
    """A cut connection begins its piece anew, or ends the download."""
    port = int(web.url.rpartition(":")[2])
    with cutting_proxy(port, 1_000_000, 12) as cut:
        begun = len(web.requests())
        assert get(f"http://127.0.0.1:{cut}/big.bin", tmp_path / "big.bin", connections=3)[0]
    assert (tmp_path / "big.bin").read_bytes() == CONTENT
    sent = sum(int(line.split('"')[2].split()[1]) for line in web.requests()[begun:])
    # What a proxy has taken and not passed on is sent twice, and no more.
    assert sent < len(CONTENT) + 14 * 8_000_000
    assert len(web.requests()) - begun > 12


def _num_there(path: Path) -> int:
    """Return how many pieces the state of a download says are there."""
    try:
        return len(json.loads(part_paths(path)[1].read_bytes())["done"])
    except FileNotFoundError:
        return 0


def _killed(url: str, path: Path, seconds: float) -> None:
    process = os.fork()
    if process == 0:
        try:
            disk._SAVE_SECONDS = 0.0
            get(url, path, connections=2)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def test_a_killed_download_goes_on(web: Web, tmp_path: Path) -> None:
    """Pieces that came before a kill are fetched again, or are trusted where they are not whole."""
    path = tmp_path / "big.bin"
    for attempt in range(20):
        _killed(f"{web.url}/slow/big.bin", path, 0.8 + attempt / 5)
        if (there := _num_there(path)) > 0:
            break
    assert 1 <= there <= 3
    begun = len(web.requests())
    done, lines = get(f"{web.url}/slow/big.bin", path)
    assert done
    assert path.read_bytes() == CONTENT
    assert "are there from an earlier run" in lines[0]
    # One request tells what the file is, and each piece that was missing takes one.
    assert len(web.requests()) - begun == 1 + 4 - there


@pytest.mark.parametrize("change", ["content", "shorter", "longer"])
def test_a_file_that_changes_on_the_server_is_begun_anew(tmp_path: Path, change: str) -> None:
    """Two versions end up in one file, or a resumed download does not end."""
    (tmp_path / "web").mkdir()
    with nginx(tmp_path / "web") as web:
        (web.root / "big.bin").write_bytes(CONTENT)
        path = tmp_path / "big.bin"
        for attempt in range(20):
            _killed(f"{web.url}/slow/big.bin", path, 0.8 + attempt / 5)
            if _num_there(path):
                break
        new = {"content": CONTENT[::-1], "shorter": CONTENT[5:], "longer": b"x" + CONTENT}[change]
        (web.root / "new").write_bytes(new)
        os.utime(web.root / "new", (1, 1))
        os.replace(web.root / "new", web.root / "big.bin")
        assert get(f"{web.url}/big.bin", path, size=None, md5=None)[0]
        assert path.read_bytes() == new


def test_a_file_that_changes_while_it_comes(tmp_path: Path) -> None:
    """The pieces of a file that is replaced during a download are put together with those of the old one."""
    (tmp_path / "web").mkdir()
    with nginx(tmp_path / "web") as web:
        (web.root / "big.bin").write_bytes(CONTENT)
        new = CONTENT[::-1]

        def replace(done: int, total: int, before: int) -> None:
            if (web.root / "big.bin").read_bytes()[:4] != new[:4]:
                (web.root / "new").write_bytes(new)
                os.utime(web.root / "new", (1, 1))
                os.replace(web.root / "new", web.root / "big.bin")

        done, lines = get(
            f"{web.url}/slow/big.bin", tmp_path / "big.bin", size=None, md5=None, connections=1, advance=replace
        )
        assert done
        assert (tmp_path / "big.bin").read_bytes() == new
        assert any("has changed" in line for line in lines)


def test_wrong_bytes_are_refused(web: Web, tmp_path: Path) -> None:
    """A file of another content or length is kept under the name of the official one."""
    path = tmp_path / "big.bin"
    with pytest.raises(PipelineError, match=f"the MD5 of what came is {MD5}, expected 0000; it was deleted"):
        get(f"{web.url}/big.bin", path, md5="0000")
    with pytest.raises(PipelineError, match=f"has {len(CONTENT):,} bytes, expected 7"):
        get(f"{web.url}/big.bin", path, size=7)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(PipelineError, match="is there and has the MD5"):
        get(f"{web.url}/big.bin", path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(PipelineError, match=r"is there and has .* bytes, expected"):
        get(f"{web.url}/big.bin", path)
    assert path.read_bytes() == CONTENT[:-1]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("{url}/gone/big.bin", r"the server answers HTTP 503 .*\(4 attempts in a row\); run the same command again"),
        ("{url}/secret/big.bin", "the server answers HTTP 403"),
        ("{url}/none.bin", "the server answers HTTP 404 Not Found; check the address"),
        ("http://127.0.0.1:9/big.bin", r"cannot be read: .*\(4 attempts in a row\)"),
        ("http://nowhere.invalid/big.bin", "cannot be read"),
        ("127.0.0.1:80/big.bin", r"no address: expected one that begins with https:// or http://"),
    ],
)
def test_servers_that_refuse(web: Web, tmp_path: Path, address: str, message: str) -> None:
    """A server that is away ends in a traceback, or gets requests without end, or leaves empty folders."""
    for folder in (tmp_path, tmp_path / "new" / "files"):
        with pytest.raises(PipelineError, match=message):
            get(address.format(url=web.url), folder / "big.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder_for_downloads(tmp_path: Path) -> None:
    """A line says `File exists` of a name that is no download, and not what was expected."""
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match=r"file is a file, expected a folder for big\.bin; name another$"):
        get("http://127.0.0.1:9/big.bin", tmp_path / "file" / "big.bin")


def test_a_full_disk_is_noticed_before(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download of hours ends because there is no room."""
    monkeypatch.setattr(files, "_ROOM", 1 << 60)
    with pytest.raises(PipelineError, match=r"takes 25,178,169 bytes more in .* are free; make room"):
        get(f"{web.url}/big.bin", tmp_path / "big.bin")
    assert list(tmp_path.iterdir()) == []


def test_one_download_of_a_file_at_a_time(web: Web, tmp_path: Path) -> None:
    """Two downloads write to one file."""

    def again(*_: int) -> None:
        with pytest.raises(InUse, match="in use by another download"):
            get(f"{web.url}/big.bin", tmp_path / "big.bin")

    assert get(f"{web.url}/big.bin", tmp_path / "big.bin", advance=again)[0]


def test_a_build_of_local_files_imports_no_client() -> None:
    """Each build takes a tenth of a second more to start, for a library of which it needs nothing."""
    code = "import sys, bigearth_pipeline.build.run; print({'httpx', 'rich', 'zstandard'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "set()\n"
