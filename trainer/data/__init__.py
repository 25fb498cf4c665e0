"""From a store to batches on the device: subset → order → decode → prepare (DALI, or plain torch)."""
