"""A morning of traffic on one machine, in minutes: which alert fires when, and what shows it."""
