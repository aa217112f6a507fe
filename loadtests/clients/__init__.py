"""Other people's clients and their tests, against the writer."""
