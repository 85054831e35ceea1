"""Who computes a harvest: this process, several processes, or a Ray cluster. All give the same bytes."""
