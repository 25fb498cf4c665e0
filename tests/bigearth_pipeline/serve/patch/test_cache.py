"""The cache whose values are computed once."""

from concurrent.futures import Future

import pytest

from bigearth_pipeline.serve.patch.cache import Cache


def _fails() -> int:
    raise ValueError("no value")


def test_the_least_recently_used_are_forgotten() -> None:
    """The cache grows without end, or what is used most is computed again."""
    cache: Cache[int] = Cache(2)
    for key in (1, 2, 1, 3):
        assert cache.get(key, lambda key=key: 10 * key) == 10 * key  # type: ignore[misc]
    assert len(cache) == 2
    assert cache.get(1, _fails) == 10
    with pytest.raises(ValueError, match="no value"):
        cache.get(2, _fails)
    assert cache.get(2, lambda: 7) == 7


def test_what_is_under_way_is_begun_once() -> None:
    """A value is computed for each that asks, or they wait where they ask."""
    cache: Cache[str] = Cache(2)
    computed: Future[str] = Future()
    first, second = cache.begin("a", lambda: computed), cache.begin("a", Future)
    assert not first.done()
    assert not second.done()
    computed.set_result("x")
    assert [first.result(0), second.result(0), cache.begin("a", Future).result(0)] == ["x"] * 3


def test_an_error_is_that_of_all_who_wait_and_is_not_kept() -> None:
    """Those who wait do so forever, or an error stays for all later ones."""
    cache: Cache[str] = Cache(2)
    computed: Future[str] = Future()
    waiting = [cache.begin("a", lambda: computed), cache.begin("a", Future)]
    computed.set_exception(ValueError("damaged"))
    for each in waiting:
        with pytest.raises(ValueError, match="damaged"):
            each.result(0)
    assert cache.get("a", lambda: "x") == "x"


def test_what_was_dropped_meanwhile_is_not_kept() -> None:
    """Results of a forgotten upload come back with the next one of that name."""
    cache: Cache[str] = Cache(2)
    computed: Future[str] = Future()
    begun = cache.begin(("u1", 0), lambda: computed)
    cache.drop("u1")
    computed.set_result("old")
    assert begun.result(0) == "old"
    assert len(cache) == 0
