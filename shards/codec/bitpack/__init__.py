"""The `bitpack` codec: prediction and bit widths, encoder and decoder."""
