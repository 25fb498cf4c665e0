"""The work that every system does, and the check of what it delivers: patches, pixels, batches.

Systems belong to `systems/`; processes, measurements and results to the folder above.
"""
