"""What to read before an entry, in an order in which each one needs only what comes earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mechscope.glossary.entry import Entry, all_entries


def reading_path(entry: Entry, entries: Mapping[str, Entry] | None = None) -> list[Entry]:
    """All entries to read before one, and it itself at the end.

    Args:
        entry: where the path leads.
        entries: where the others are looked up; None means the glossary.

    Raises:
        ValueError: if entries want each other to be read first, or one of them is missing.
    """
    entries = all_entries() if entries is None else entries
    path: dict[str, Entry] = {}
    _add(entry, entries, path, ())
    return list(path.values())


def _add(entry: Entry, entries: Mapping[str, Entry], path: dict[str, Entry], after: tuple[str, ...]) -> None:
    if entry.slug in after:
        cycle = (*after[after.index(entry.slug) :], entry.slug)
        raise ValueError(f"each of these entries wants the next one to be read first: {' → '.join(cycle)}.")
    if entry.slug in path:
        return
    for slug in entry.before:
        if slug not in entries:
            raise ValueError(f"{entry.slug} wants {slug} to be read first, but there is no such entry.")
        _add(entries[slug], entries, path, (*after, entry.slug))
    path[entry.slug] = entry


def reading_order(entries: Sequence[Entry]) -> list[Entry]:
    """Some entries in an order in which each one comes after those to read first, as far as they are among them.

    Entries that do not depend on each other stay in the order given.
    """
    order: dict[str, Entry] = {}
    wanted = {entry.slug for entry in entries}
    for entry in entries:
        order |= {before.slug: before for before in reading_path(entry) if before.slug in wanted}
    return list(order.values())
