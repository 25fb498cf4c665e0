"""What tests of stores, here and elsewhere, can rely on: public, without a test framework, Dask, torch or GeoTIFFs.

`stores` makes stores in process, `faults` has the n-th effect of storage fail. Nothing outside tests imports from here.
"""
