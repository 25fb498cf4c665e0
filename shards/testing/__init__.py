"""Helpers for tests of stores, here and elsewhere: public, without a test framework, Dask, torch or GeoTIFFs.

`stores` makes stores in process, `faults` has the n-th effect of storage fail. Nothing outside tests imports from here.
"""
