"""The same loading work done by other systems, side by side with ours: `python -m tools.peers.run --help`."""
