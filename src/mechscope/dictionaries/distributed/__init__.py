"""One dictionary over several processes, each of which (a rank) holds a share of the features."""
