"""Networks: source pieces in, scores of the next target piece out. One file an architecture; `catalog` lists them."""
