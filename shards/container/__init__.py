"""The two containers of encoded records: tars for WebDataset, and Zarr groups."""
