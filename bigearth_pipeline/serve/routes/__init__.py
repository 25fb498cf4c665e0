"""Routes of the API: a file a subject, each a function that takes the contents and returns a router.

Parameters are checked and answers described here; what they hold is computed in the folders beside.
"""
