"""`bep show`: which patches of a store to look at, and how each is shown.

How a record becomes a picture is in `bigearth_pipeline.pictures`, how a terminal shows it in `bigearth_pipeline.cli`.
"""
