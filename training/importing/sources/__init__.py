"""One module a kind of source; ``training.importing.source`` says how one is found."""
