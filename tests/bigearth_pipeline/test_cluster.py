"""Tasks on a Dask cluster."""

import time
from collections.abc import Callable

from bigearth_pipeline.cluster import open_cluster


def report(item: int, factor: int, progress: Callable[[int], None]) -> int:
    progress(item)
    return factor * item


def test_results_and_progress_belong_to_their_build(scheduler: str) -> None:
    """Two builds on one scheduler count each other's patches, or get each other's results."""
    first: list[int] = []
    second: list[int] = []
    with open_cluster(1, scheduler, first.append) as one, open_cluster(1, scheduler, second.append) as two:
        assert dict(one.map(report, range(1, 20), 2)) == {item: 2 * item for item in range(1, 20)}
        assert dict(two.map(report, [100], 3)) == {100: 300}
        deadline = time.monotonic() + 20
        while (len(first) < 19 or not second) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sorted(first) == list(range(1, 20))
        assert second == [100]


def test_nothing_to_do_is_done_at_once(scheduler: str) -> None:
    """A build whose shards are all there waits for ever."""
    with open_cluster(1, scheduler) as cluster:
        assert list(cluster.map(report, [], 2)) == []
