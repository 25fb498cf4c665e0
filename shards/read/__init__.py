"""Reading a finished store: from rows of the index to pixels."""
