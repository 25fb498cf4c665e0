"""Patches that a run uses: rows of the index, by split, list, fraction and condition."""
