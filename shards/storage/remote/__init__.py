"""Stores on object storage, by their address: what is sent, what is tried again, and what a failure means, in one line.

Reading: ranges of a batch are put together (`coalesce`) into requests, of which 48 are under way at a time, each hedged
by a second one once it is slower than 95 of 100 (`pool`). While an answer arrives, each record is compared with its
checksum (`arrival`) and goes into the cache (`shards.storage.disk`), where readers find it as in a local file.
Writing (`upload`): files are made in a local folder and sent as a whole, and what may exist once is put only if absent.
Only `client` imports obstore, and only when a store is opened; an error (`failures`) never repeats what a server or
obstore said.
"""
