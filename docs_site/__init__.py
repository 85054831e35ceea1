"""The documentation's site: pages that are generated when it is built, and the check of its links."""
