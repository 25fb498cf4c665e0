"""Tests of the check on a GPU: its steps, its targets, and the tests that it collects."""
