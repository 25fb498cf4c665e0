"""Running tasks on Dask, that is on local processes or the workers of an existing scheduler, or in this process."""

from bigearth_pipeline.workers.checks import Shared
from bigearth_pipeline.workers.connect import open_cluster
from bigearth_pipeline.workers.forks import preload
from bigearth_pipeline.workers.in_process import InProcess
from bigearth_pipeline.workers.protocol import Workers
from bigearth_pipeline.workers.stall import Limits
from bigearth_pipeline.workers.tasks import Cluster

__all__ = [
    "Cluster",
    "InProcess",
    "Limits",
    "Shared",
    "Workers",
    "open_cluster",
    "preload",
]
