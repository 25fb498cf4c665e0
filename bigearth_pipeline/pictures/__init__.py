"""Pictures of patches on the 10 m grid: from a record to colours (`compose`), and from colours to PNG (`png`).

Nothing here knows of stores, pages or commands.
"""
