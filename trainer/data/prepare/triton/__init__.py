"""Work on the GPU as kernels of our own, in Triton: records to images, and encoded records to records.

DALI's graph for a GPU calls the first of them behind its pipeline where no operator will do, see
`trainer.data.prepare.dali.record_graph`. They are no operators of a pipeline: `torch_python_function` hands over lists
of a tensor for each patch, takes such lists back and copies them, holds the interpreter's lock meanwhile, waits for the
device in each call, and makes a CUDA stream even in a pipeline for the CPU, so that it cannot be tried without a GPU
(DALI 2.4).
"""
