"""Labels that users give to units, with rules and their scores; publishing keeps them."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechscope.arguments import one_line
from mechscope.neuroscope.connections import FILE, can_write
from mechscope.neuroscope.folders import READY, store_folder
from mechscope.neuroscope.full_text import match_expression
from mechscope.neuroscope.label_file import reading_labels, writing_labels
from mechscope.neuroscope.units import UnitAddress
from mechscope.storage.files import replacing_folder

if TYPE_CHECKING:
    from mechscope.neuroscope.store import NeuroscopeStore

_COLUMNS = "labels.id, site, unit, labels.label, rule_kind, labels.rule, scores, created"


@dataclass(frozen=True)
class StoredLabel:
    """What somebody thinks a unit does."""

    id: int
    """Its number in the store."""
    address: UnitAddress
    label: str
    """The hypothesis in words."""
    rule_kind: str
    """How to read `rule`; empty for a label without a rule."""
    rule: str
    """The rule by which the hypothesis is tested."""
    scores: Mapping[str, Any] | None
    """The scores of the rule; None before it is scored."""
    created: str
    """When the label was written (ISO 8601 in UTC)."""


class LabelTable:
    """The labels of a store; get it as `store.labels`.

    The first label in a store that comes with the package, or that cannot be written to, copies the store to the
    user's folder, and the open store moves there. Labels can be written while a harvest is published.
    """

    def __init__(self, store: NeuroscopeStore) -> None:
        self._store = store

    def __repr__(self) -> str:
        found = self.all()
        heading = f"{len(found):,} {'label' if len(found) == 1 else 'labels'} of units of {self._store.model}"
        lines = [
            f"  {each.id}  {each.address.site}/{each.address.unit}  {one_line(each.label)}" for each in found
        ]
        return "\n".join([heading, *lines])

    def all(self) -> tuple[StoredLabel, ...]:
        """Every label, the oldest first."""
        return self._read("ORDER BY labels.id")

    def of(self, address: UnitAddress | str) -> tuple[StoredLabel, ...]:
        """The labels of a unit, the oldest first.

        Raises:
            ValueError, KeyError: for a unit that the store does not have.
        """
        address = self._store.address(address)
        return self._read("WHERE site = ? AND unit = ? ORDER BY labels.id", (address.site, address.unit))

    def get(self, label: int) -> StoredLabel:
        """The label with a number.

        Raises:
            KeyError: if there is none.
        """
        found = self._read("WHERE labels.id = ?", (label,))
        if not found:
            raise KeyError(f"the store of {self._store.model} has no label {label}.")
        return found[0]

    def search(self, words: str, limit: int = 20) -> tuple[StoredLabel, ...]:
        """Labels whose text or rule has all these words, the best first; text in double quotes is a phrase.

        Raises:
            ValueError: for text without a word.
        """
        return self._read(
            "JOIN label_text ON label_text.rowid = labels.id WHERE label_text MATCH ? ORDER BY rank LIMIT ?",
            (match_expression(words), limit),
        )

    def add(self, address: UnitAddress | str, label: str, rule_kind: str = "", rule: str = "") -> StoredLabel:
        """Give a unit a label.

        Raises:
            ValueError: for an empty label.
            ValueError, KeyError: for a unit that the store does not have.
            OSError: if the store cannot be written to.
        """
        address = self._store.address(address)
        if not label.strip():
            raise ValueError("the label is empty: say in a few words what the unit does.")
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        with writing_labels(self._folder()) as connection:
            number = connection.execute(
                "INSERT INTO labels (site, unit, label, rule_kind, rule, scores, created) "
                "VALUES (?, ?, ?, ?, ?, '', ?)",
                (address.site, address.unit, label, rule_kind, rule, created),
            ).lastrowid
        assert number is not None
        return StoredLabel(number, address, label, rule_kind, rule, None, created)

    def set_scores(self, label: int, scores: Mapping[str, Any] | None) -> None:
        """Keep the scores of a label's rule, as JSON; None removes them.

        Raises:
            KeyError: for an unknown label.
            OSError: if the store cannot be written to.
        """
        text = "" if scores is None else json.dumps(scores, allow_nan=True)
        with writing_labels(self._folder()) as connection:
            changed = connection.execute("UPDATE labels SET scores = ? WHERE id = ?", (text, label)).rowcount
        self._check_found(changed, label)

    def remove(self, label: int) -> None:
        """Remove a label with its scores.

        Raises:
            KeyError: for an unknown label.
            OSError: if the store cannot be written to.
        """
        with writing_labels(self._folder()) as connection:
            changed = connection.execute("DELETE FROM labels WHERE id = ?", (label,)).rowcount
        self._check_found(changed, label)

    def _check_found(self, changed: int, label: int) -> None:
        if not changed:
            raise KeyError(f"the store of {self._store.model} has no label {label}.")

    def _folder(self) -> Path:
        """The folder to write to; a store that cannot be written to is copied first."""
        folder = self._store.folder
        if READY in folder.parents or not can_write(folder):
            own = store_folder(self._store.model)
            if not (own / FILE).exists():
                with replacing_folder(own) as new:
                    shutil.copytree(folder, new, dirs_exist_ok=True, copy_function=shutil.copyfile)
            self._store.move_to(own)
            folder = own
        return folder

    def _read(self, condition: str, values: Sequence[Any] = ()) -> tuple[StoredLabel, ...]:
        with reading_labels(self._store.folder) as connection:
            if connection is None:
                return ()
            rows = connection.execute(f"SELECT {_COLUMNS} FROM labels {condition}", values)
            return tuple(
                StoredLabel(
                    number,
                    UnitAddress(self._store.model, site, unit),
                    label,
                    rule_kind,
                    rule,
                    json.loads(scores) if scores else None,
                    created,
                )
                for number, site, unit, label, rule_kind, rule, scores, created in rows
            )
