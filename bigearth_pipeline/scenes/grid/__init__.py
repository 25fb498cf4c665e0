"""The pixels of a scene: one grid for all bands, windows of 1,200 m in it, read row by row and cut into records.

Which files a scene consists of is found in `inputs`; what becomes of the records, in `work`.
"""
