"""Requests that must not reach the routes."""

from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.guard.headers import POLICY
from bigearth_pipeline.serve.guard.requests import Guard
from shards.errors import InvalidValue

TOKEN = "0123456789abcdef-XYZ"


def test_every_answer_has_the_headers(client: Any) -> None:
    """An answer, a refusal or an error may be embedded, sniffed, or load from elsewhere."""
    for path, status in (
        ("/", 200),
        ("/api/about", 200),
        ("/static/js/main.js", 200),
        ("/nothing", 404),
        ("/docs", 200),
    ):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert client.get("/api/about", headers={"host": "evil.example"}).headers["content-security-policy"] == POLICY
    assert (
        client.get("/static/vendor/maplibre-gl/maplibre-gl.mjs").headers["content-type"].startswith("text/javascript")
    )


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "", "127.0.0.1@evil.example", "[::2]"],
)
def test_other_hosts_are_refused(client: Any, host: str) -> None:
    """A page elsewhere, whose name leads to this machine, reads what the server shows."""
    assert client.get("/api/about", headers={"host": host}).status_code == 400


def test_names_of_this_machine_are_not_refused(client: Any) -> None:
    """The page does not open under another name of the same place."""
    for host in ("localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]:8765"):
        assert client.get("/api/about", headers={"host": host}).status_code == 200


def test_other_sites_are_refused(client: Any) -> None:
    """A page elsewhere uploads, gives verdicts or embeds pictures through the user's browser."""
    body = {"store": 0, "run": 0, "key": "x", "label": 0, "verdict": "right"}
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/api/check/verdicts", json=body, headers=headers).status_code == 403
        assert client.get("/api/about", headers=headers).status_code == 403
    own = {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}
    assert client.post("/api/check/verdicts", json=body, headers=own).status_code == 404
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200


def test_a_token_is_needed_by_every_request(contents: Contents) -> None:
    """A machine nearby reads a page, a module or the API without the token."""
    from starlette.testclient import TestClient

    from bigearth_pipeline.serve.app import api_of
    from bigearth_pipeline.serve.contents.stopping import Stopping

    client = TestClient(Guard(api_of(contents, Stopping()), TOKEN), base_url="http://server.example:8765")
    for path in ("/", "/api/about", "/static/style.css", f"/{TOKEN}", f"/{TOKEN}x/api/about", f"/x/{TOKEN}/", "/docs"):
        assert client.get(path).status_code == 401, path
    assert client.get("/api/about", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/about", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    for path in ("/", "/api/about", "/static/style.css", "/docs"):
        assert client.get(f"/{TOKEN}{path}").status_code == 200, path
    for path in ("/api/about/", "/static", "/docs/"):
        assert client.get(f"/{TOKEN}{path}", follow_redirects=False).status_code == 404, "leads out of the token"


def test_large_bodies_are_refused(contents: Contents) -> None:
    """A body of any size is received, with its length or without."""
    from starlette.testclient import TestClient

    from bigearth_pipeline.serve.app import api_of
    from bigearth_pipeline.serve.contents.stopping import Stopping

    app = Guard(api_of(contents, Stopping()), most_bytes=1000)
    client = TestClient(app, base_url="http://127.0.0.1:8765")
    assert client.post("/api/check/verdicts", content=b"x" * 1001).status_code == 413
    parts = iter([b"x" * 400] * 4)
    assert client.post("/api/check/verdicts", content=parts).status_code == 413
    assert client.post("/api/check/verdicts", content=b"x" * 900).status_code == 422
    assert client.post("/api/check/verdicts", headers={"content-length": "-5"}).status_code == 400


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
)
def test_static_files_are_those_of_the_page(client: Any, path: str) -> None:
    """A path leads out of the folder of the page."""
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "server.example"])
def test_addresses_of_others_need_a_token(host: str) -> None:
    """The page is open to the network without anybody having asked for it."""
    with pytest.raises(InvalidValue, match="token"):
        ServeConfig(stores=(Path("x"),), host=host)
    assert ServeConfig(stores=(Path("x"),), host=host, token=TOKEN).host == host


def test_short_tokens_are_refused() -> None:
    """A token can be guessed, or is no part of a path."""
    for token in ("short", "a" * 129, "0123456789abcde/", "0123456789abcdé"):
        with pytest.raises(InvalidValue, match="16 to 128"):
            ServeConfig(stores=(Path("x"),), token=token)
