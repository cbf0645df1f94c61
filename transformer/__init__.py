"""The transformer: payload to image to tensor, and probabilities to a named answer.

Pillow and numpy only: neither torch nor torchvision is installed where it runs.
"""
