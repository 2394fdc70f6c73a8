"""Text to pieces and back. One file a kind of vocabulary."""
