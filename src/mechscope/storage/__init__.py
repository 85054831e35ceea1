"""Files and folders on this machine: atomic writing, locks, and the places of data and caches."""
