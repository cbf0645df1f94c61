"""``vision import``: a revision from a network that was trained elsewhere.

What came from elsewhere may be code, so a process of its own opens it (``sandbox``), and only
files of data leave that process: an ONNX program, tensors, and a report in JSON.
"""
