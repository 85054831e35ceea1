"""How each bundled model was made, and the command that makes it again."""
