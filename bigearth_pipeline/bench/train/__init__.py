"""`bep bench train`: steps fed from shards beside steps on one batch that lies on the device."""
