"""What makes each unit of a model fire: harvest text, browse the units, and test what you think they do."""
