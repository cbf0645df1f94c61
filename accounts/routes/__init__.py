"""Routes of the JSON API, a module for each noun; ``accounts.api`` puts them together."""
