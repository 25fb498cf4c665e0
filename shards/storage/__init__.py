"""Files and shared memory: opened safely, written whole or not at all, locked. It knows nothing of records."""
