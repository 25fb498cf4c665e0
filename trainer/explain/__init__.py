"""Explanations of a network's scores: attribution methods (`methods`), a test of them (`sanity`), their value (`score`).

Networks and batches come in and arrays go out; pictures, pages and files belong to the application.
"""
