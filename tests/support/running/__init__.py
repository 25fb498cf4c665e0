"""Processes that tests start: `bep`, Dask clusters, terminals, forks."""
