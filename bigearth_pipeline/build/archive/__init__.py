"""Building from archives: one pass reads and encodes all patches as they come, then each shard is written in its order.

`passes` gathers patches (`source.archive`) and has workers encode them (`encode`) into spool files (`spool`), whose
records `write` puts into shards; `listing` is what a pass has found, `room` the disk that it takes, `run` all together.
Which patches are stored, in which order, is decided as for trees, from the folders that the members form, once all are
known: so the store is that of the unpacked tree, whatever the order of the members.
"""
