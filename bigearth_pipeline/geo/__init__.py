"""Patches on the earth: points and squares in other systems, bands by wavelength, and fields of GeoParquet and STAC.

What tables, items and pages hold beside them belongs to those who write them.
"""
