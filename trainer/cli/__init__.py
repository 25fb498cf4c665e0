"""The trainer's commands. Importing them costs no more than click; the rest is imported when they run."""
