"""Data of the package: outlines of Europe and published figures, each with its source in the file.

Readers: `bigearth_pipeline.report.figure.europe` and `bigearth_pipeline.report.store.published`.
"""
