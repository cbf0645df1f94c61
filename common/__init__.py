"""What every room needs and nobody should write twice; imports nothing of the project."""
