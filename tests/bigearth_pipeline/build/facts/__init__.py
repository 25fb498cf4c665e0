"""Tests of what a store says of its patches besides labels: splits, flags, dates, baselines, missing pixels."""
