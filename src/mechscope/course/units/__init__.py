"""The units: one folder each, with unit.toml, lesson.md, reference.py (the solutions) and checks.py."""
