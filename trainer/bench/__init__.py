"""Measurements of the loader and its stages: functions that return figures and print nothing."""
