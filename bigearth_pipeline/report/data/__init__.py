"""Data of the package: outlines of Europe, with their source in the file.

Reader: `bigearth_pipeline.report.figure.europe`. Published figures of BigEarthNet are in `shards.metadata.published`.
"""
