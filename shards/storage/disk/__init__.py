"""A bounded cache on a local disk of ranges that came over a network: it survives restarts and is shared by processes.

`CACHE/<store>/<number>` is an image of a file of a store: sparse, its bytes at the same offsets as there, then a state
byte for each of its ranges, set after the bytes of the range were compared with their CRC-32C and written (`image`).
So a process that is killed leaves bytes that nobody takes for a range, and what an image loses is found by the CRC when
a process first uses it. `budget` counts bytes over all processes and deletes the images that were used least lately;
who has one open keeps it until it looks again. `<store>` is a digest of the manifest's checksums, so mirrors share it.
"""
