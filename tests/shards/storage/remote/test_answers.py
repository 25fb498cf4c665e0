"""Answers that are wrong in ways that a broken connection is not: never a wrong byte, and said what is wrong."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.errors import CorruptShard
from shards.storage.remote import attempts
from tests.shards.conftest import read_rows
from tests.support.network.answers import Answers, answers

ROWS = np.random.default_rng(0).permutation(300)
WAYS = ["short", "endless", "another", "unsaid", "chunked"]


@pytest.fixture
def server(packed_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """A server of a store."""
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 0.05)
    with answers(packed_store) as running:
        yield running


@pytest.mark.parametrize("fault", WAYS)
@pytest.mark.parametrize("verify", ["first", "never"])
def test_an_answer_that_is_wrong_now_and_then_is_repeated(
    server: Answers, packed_store: Path, fault: str, verify: str
) -> None:
    """Two of three are wrong: a record never is, and is not given up after a few."""
    with shards.open(packed_store) as local, shards.open(server.address, num_threads=2) as store:
        server.fault, server.each = fault, 2
        for part in np.split(ROWS[:60], 6):
            assert np.array_equal(read_rows(store, part, verify=verify), read_rows(local, part))
    assert server.seen[fault] > 10


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("short", r"an answer ends after \d+ bytes, expected \d+; tried"),
        ("another", "its server answers with another range than was requested; tried"),
        ("unsaid", "its server does not say which range its answer has, which reading needs; tried"),
        ("chunked", "its server does not say which length its answer has, which reading needs; tried"),
    ],
)
def test_an_answer_that_is_always_wrong_is_said(
    server: Answers, fault: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks for a fault of the network that is one of the server."""
    monkeypatch.setattr(attempts, "ATTEMPTS", 2)
    with shards.open(server.address) as store:
        server.fault = fault
        with pytest.raises(CorruptShard, match=rf"the record of \w+ cannot be read: {said}"):
            read_rows(store, [5])


def test_an_answer_that_does_not_end_is_left_where_it_should(server: Answers, packed_store: Path) -> None:
    """Bytes that follow the range are neither kept nor waited for."""
    with shards.open(packed_store) as local, shards.open(server.address) as store:
        server.fault = "endless"
        assert np.array_equal(read_rows(store, ROWS[:8]), read_rows(local, ROWS[:8]))
        assert server.seen["endless"] <= 8
