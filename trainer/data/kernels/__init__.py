"""Work on the GPU as kernels of our own, in Triton: records to images, and encoded records to records."""
