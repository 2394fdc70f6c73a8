"""Text in, hypotheses out: networks, tokenizer, decoding, training, checkpoints.

Knows torch and SentencePiece; knows nothing of Kafka, SQL or any other part of ours but the error root.
"""
