"""The architectures, one per file. Import names from those files."""
