"""What tests of the format, here and elsewhere, need: stores made in process. No Dask, no torch, no GeoTIFFs."""
