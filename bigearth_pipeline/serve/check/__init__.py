"""Checking labels: pairs of a patch and a class by how much a run and the label disagree, and verdicts on them.

A verdict is a line of a CSV file; training reads it as a list of patches, or by a condition.
"""
