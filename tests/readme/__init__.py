"""The README, word for word: its examples run, its commands parse, its tables are complete, its links lead somewhere.

Tests of what the examples use belong to the folders of that code.
"""
