"""Explanations of a network's scores: methods, a test of these (`sanity`), their value (`score`).

Networks and batches come in and arrays go out; pictures, pages and files belong to the application.
"""
