"""`bep bench loader`: batches from a store beside each of the stages that they go through."""
