"""Runs read back from their folders: for tables, comparisons and reports.

Reading needs neither torch nor the shards, and changes nothing. What writes these files is in `trainer.runs`.
"""
