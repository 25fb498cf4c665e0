"""`bep predict`: whole scenes and patches in, probabilities as maps, tables and STAC items out.

What a network is and how it sees records belongs to `trainer.inference`; options and flags, to `bigearth_pipeline.cli`.
"""
