"""Reading a finished store: from rows of the index to pixels.

`extents` says where parts of patches lie, `shards.storage` holds the bytes and `shards.codec` decodes them; `reader`
puts the three together, and `store` is what callers see.
"""
