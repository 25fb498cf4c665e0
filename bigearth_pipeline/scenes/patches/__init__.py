"""Patches that are cut already: BigEarthNet's folders, and splits of stores, as records in a fixed order."""
