"""The systems that are compared, a file each: `convert(job)` writes their format, `open_epochs(job)` reads it.

What they share, the processes that they run in and the tables are in `tools.peers`.
"""
