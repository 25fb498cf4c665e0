"""The options of a run: types, defaults, conflicts, and what a run chose where they leave it open."""
