"""The stores, runs and scenes that a server was started with, opened and found by their numbers.

Nothing here knows of HTTP; pictures, tiles and scores are made in `map` and `patch`.
"""
