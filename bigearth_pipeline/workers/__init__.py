"""Running tasks on Dask: local processes, or the workers of an existing scheduler."""

from bigearth_pipeline.workers.checks import Shared
from bigearth_pipeline.workers.connect import open_cluster
from bigearth_pipeline.workers.forks import preload, refuse_import_by_worker
from bigearth_pipeline.workers.stall import Limits
from bigearth_pipeline.workers.tasks import Cluster

__all__ = ["Cluster", "Limits", "Shared", "open_cluster", "preload", "refuse_import_by_worker"]
