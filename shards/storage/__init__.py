"""Storage for the bytes of stores: files and shared memory, opened safely, written whole or not at all, locked.

`base` is the one seam to them; nothing else opens files of a store. It knows ranges of files, but no records.
"""
