"""What features do to the model that they are spliced into. Names live in the files."""
