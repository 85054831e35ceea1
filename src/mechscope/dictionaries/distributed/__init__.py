"""One dictionary over several processes: each rank holds a share of the features. Names live in the files."""
