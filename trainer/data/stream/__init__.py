"""The threads that read and prepare batches ahead of training, and what passes between them."""
