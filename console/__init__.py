"""The web page: sign up, keys, try it on, usage, bills."""
