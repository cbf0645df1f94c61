"""What tasks have in common whose requests are pictures, each one instance of an ``ImageInput``."""
