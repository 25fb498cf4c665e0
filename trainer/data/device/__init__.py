"""Records and batches in the memory of a device: transfer, streams, and records that stay there."""
