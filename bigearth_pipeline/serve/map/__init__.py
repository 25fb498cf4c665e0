"""Patches on a web map: places, filters, and vector tiles of squares, clustered where patches would be too small.

Arrays in, bytes out; which requests ask for them is in `routes`.
"""
