"""The loop: poll, admit, batch, translate, record, publish the result, commit.

Threads that each own their state, joined by queues; `worker.py` puts them together.
"""
