"""Training: data, training, fine-tuning, evaluation, and writing revisions."""
