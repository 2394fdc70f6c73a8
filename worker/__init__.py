"""The loop: poll, admit, batch, translate, record, publish the result, commit.

Five threads, each owning its state, joined by bounded queues; `worker.py` puts them together.
"""
