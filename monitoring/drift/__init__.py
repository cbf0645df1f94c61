"""Whether pictures and answers are still what they were when a revision was made."""
