"""Images of users: received into a temporary folder, decoded by a limited process, kept in memory alone.

Names that come with an upload are read for bands and dates, and never become paths.
"""
