"""The reference of `shards` and `trainer` for programs that use them, by pdoc from the docstrings.

`python -m tools.docs OUT` writes it as HTML; `PUBLIC` lists what is public.
"""
