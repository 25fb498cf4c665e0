"""`bep report`: one self-contained HTML page about a store or runs; `page` and `figure` know nothing of what they show.

Each kind of report has a folder (`store`, `run`, `runs`), in which a file is a section; `scores` has those of runs.
`data` holds outlines and published figures with their sources.
"""
