"""Text that anyone may have written: JSON with checked fields, and lists of names."""
