"""Tasks of builds on a cluster."""

import time

from bigearth_pipeline.workers import open_cluster
from tests.bigearth_pipeline.workers.support import report
from tests.support.data.building import Recorder


def test_results_and_progress_belong_to_their_build(scheduler: str) -> None:
    """Two builds on one scheduler count each other's patches, or get each other's results."""
    first, second = Recorder(), Recorder()
    with open_cluster(1, scheduler, first) as one, open_cluster(1, scheduler, second) as two:
        assert dict(one.map(report, range(1, 20), 2)) == {item: 2 * item for item in range(1, 20)}
        assert dict(two.map(report, [100], 3)) == {100: 300}
        deadline = time.monotonic() + 120
        while (len(first.counts) < 19 or not second.counts) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sorted(first.counts) == list(range(1, 20))
        assert second.counts == [100]


def test_nothing_to_do_is_done_at_once(scheduler: str) -> None:
    """A build whose shards are all there waits for ever."""
    with open_cluster(1, scheduler) as cluster:
        assert list(cluster.map(report, [], 2)) == []
