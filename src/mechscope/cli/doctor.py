"""`mechscope doctor`: print what the examination of this installation found."""

from __future__ import annotations

import json
from dataclasses import asdict

from mechscope import doctor as examination
from mechscope.cli.commands import Doctor

MARKS = {"ok": "✓", "note": "–", "problem": "✗"}


def doctor(command: Doctor) -> int:
    """Print the report; 1 if there is a problem."""
    report = examination.examine()
    if command.json:
        print(json.dumps([asdict(check) for check in report.checks], indent=1, ensure_ascii=False))
    else:
        width = max(len(check.name) for check in report.checks)
        for check in report.checks:
            print(f"{MARKS[check.status]} {check.name:<{width}}  {check.found}")
            if check.fix:
                print(f"  {'':<{width}}  → {check.fix}")
    return 1 if report.problems else 0
