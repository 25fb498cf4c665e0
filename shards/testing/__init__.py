"""Helpers for tests of stores, here and elsewhere: public, without a test framework, Dask, torch or GeoTIFFs.

`stores` makes stores in process; `faults` fails the n-th effect of storage, `failing_calls` the n-th system call;
`crashes` replays power failures. Nothing outside tests imports from here.
"""
