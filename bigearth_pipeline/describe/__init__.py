"""A store described for catalogues and GIS: GeoParquet, a STAC collection and Croissant, a file each, beside the store.

Nothing here reads a shard or writes into a store. Tables and items of predictions belong to `bigearth_pipeline.scenes`.
"""
