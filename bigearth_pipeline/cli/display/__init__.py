"""Text for people on standard output and error: tables, progress bars and lines.

Commands, options and exit statuses belong to `bigearth_pipeline.cli`; how figures come about, to the libraries below.
"""
