"""Parallel and monolingual text: reading, cleaning, streaming. Knows no tensors."""
