"""From BigEarthNet's GeoTIFFs to shards: sources, plan, Dask build, verification, synthetic data, the `bep` command."""
