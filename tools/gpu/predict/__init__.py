"""Predicted costs of work on a GPU, computed from code without one: launches, and bytes moved.

A prediction says so in its first line, and stands in no record of measurements.
"""
