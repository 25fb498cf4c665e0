"""The work itself: units of an input predicted in threads, each kept in a file, so that a killed run resumes.

Files that users get are written in `write`.
"""
