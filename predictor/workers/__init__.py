"""The threads that compute, and the requests that wait for them.

A thread that is done with a batch begins the next one by itself, with all that waits by then, and
leaves it to the event loop to hand the answers out. Were the loop to choose what comes next, the
thread would stand still after every batch until the loop has had two turns.

``submit`` (event loop) cuts a request into chunks and puts them into the model's ``BatchQueue``;
``WorkerPool`` wakes a ``Worker``; the worker takes chunks as one ``Batch``, runs it, and hands the
rows back to the event loop that waits for them.
"""

from predictor.workers.batch_queue import Batch, BatchQueue
from predictor.workers.pool import WorkerPool

__all__ = ["Batch", "BatchQueue", "WorkerPool"]
