"""What a record is: bands, classes, a patch, and statistics of its values. No files."""
