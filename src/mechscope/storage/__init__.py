"""Files and folders on this machine: atomic writing, locks, and where data and caches lie."""
