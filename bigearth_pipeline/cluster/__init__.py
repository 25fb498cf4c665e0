"""Running tasks on Dask: local processes, or the workers of an existing scheduler."""

from bigearth_pipeline.cluster.checks import Shared
from bigearth_pipeline.cluster.connect import open_cluster
from bigearth_pipeline.cluster.forks import preload, refuse_import_by_worker
from bigearth_pipeline.cluster.stall import Limits
from bigearth_pipeline.cluster.tasks import Cluster

__all__ = ["Cluster", "Limits", "Shared", "open_cluster", "preload", "refuse_import_by_worker"]
