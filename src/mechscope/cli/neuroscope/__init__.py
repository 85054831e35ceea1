"""`mechscope neuroscope`: one module per command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

if TYPE_CHECKING:
    from mechscope.cli.neuroscope.commands import Neuroscope


def neuroscope(command: Neuroscope) -> int:
    """Run a command under `mechscope neuroscope` and return its exit code."""
    # Each command is imported late, so that help does not load torch.
    from mechscope.cli.neuroscope.commands import Compare, Harvest
    from mechscope.cli.neuroscope.label_commands import Label, Labels, Score, Suggest
    from mechscope.cli.neuroscope.store_commands import Check, Export, Fire, Search, Show, Units

    match command.command:
        case Harvest() as harvest:
            from mechscope.cli.neuroscope.harvest import run_harvest

            return run_harvest(harvest)
        case Compare() as compare:
            from mechscope.cli.neuroscope.compare import run_compare

            return run_compare(compare)
        case Show() as show:
            from mechscope.cli.neuroscope.show import run_show

            return run_show(show)
        case Search() as search:
            from mechscope.cli.neuroscope.find import run_search

            return run_search(search)
        case Units() as units:
            from mechscope.cli.neuroscope.find import run_units

            return run_units(units)
        case Fire() as fire:
            from mechscope.cli.neuroscope.find import run_fire

            return run_fire(fire)
        case Export() as export:
            from mechscope.cli.neuroscope.export import run_export

            return run_export(export)
        case Check() as check:
            from mechscope.cli.neuroscope.export import run_check

            return run_check(check)
        case Label() as label:
            from mechscope.cli.neuroscope.labels import run_label

            return run_label(label)
        case Labels() as labels:
            from mechscope.cli.neuroscope.labels import run_labels

            return run_labels(labels)
        case Score() as score:
            from mechscope.cli.neuroscope.score import run_score

            return run_score(score)
        case Suggest() as suggest:
            from mechscope.cli.neuroscope.labels import run_suggest

            return run_suggest(suggest)
