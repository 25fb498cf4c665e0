"""Definition of a record: bands, classes, a patch, and statistics of its values. No files."""
