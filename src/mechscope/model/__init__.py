"""The instrument: a hooked transformer and what it is made of."""
