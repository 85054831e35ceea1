"""`mechscope sae`: train, eval, sweep, show."""
