"""Measurements of building, loading and training: functions that return figures and print nothing.

How figures are shown is in `bigearth_pipeline.cli.bench`; a measurement that only the project itself needs, in `tools`.
"""
