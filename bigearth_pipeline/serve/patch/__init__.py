"""One patch: pictures, probabilities and explanations, each computed once and kept in a bounded cache.

Arrays in, values and pictures out; requests are answered in `routes`.
"""
