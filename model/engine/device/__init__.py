"""What the torch engine is made of: buffers, steps, lanes of segments. Knows no text; only `cuda` knows CUDA."""
