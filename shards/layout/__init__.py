"""Definition of a record as data: groups of bands, classes, the facts of a patch, a patch, the shuffle, statistics.

Files, and how anything is stored in them, do not belong here.
"""
