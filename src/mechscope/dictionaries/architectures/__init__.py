"""One architecture a file. Names live in the files."""
