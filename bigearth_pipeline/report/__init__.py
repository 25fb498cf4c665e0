"""`bep report`: one self-contained HTML page about a store; `page` and `figure` know nothing of what they show.

Each kind of report has a folder (`store`), in which a file is a section: what is computed, apart from how it is drawn.
`data` holds outlines and published figures with their sources.
"""
