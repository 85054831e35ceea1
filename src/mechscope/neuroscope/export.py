"""Export unit pages as JSON Lines in the format of Neuronpedia's bulk exports, and read such a folder back.

`features/batch-N.jsonl.gz` has one line per unit, `activations/batch-N.jsonl.gz` one line per context. `modelId` is the
model, `layer` the site, `index` the unit. In a context, `binMin`, `binMax` and `binContains` say from which range of
activations it was taken and what share of the tokens lies in it: −1 for the highest ones, the whole range for random
ones. The histograms of effects on all logits, which a store does not have, are empty.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mechscope.near_names import did_you_mean
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import Context, UnitAddress, UnitPage, as_names
from mechscope.reading import parse_json, regular_file
from mechscope.storage.files import write_atomically

UNITS_PER_FILE = 256
SUBFOLDERS = "features", "activations"


def export_pages(
    store: NeuroscopeStore,
    folder: Path,
    sites: str | Sequence[str] = (),
    *,
    units_per_file: int = UNITS_PER_FILE,
) -> list[Path]:
    """Write the pages of all units of some sites into a folder, one subfolder per site.

    Args:
        sites: names of sites; empty for all.

    Raises:
        KeyError: for a site that the store does not have.
        ValueError: if the folder has more files of an earlier export of a site than this one would replace.
        NotKeptError: if a file cannot be written.
    """
    known = {site.name: site for site in store.sites()}
    for name in as_names(sites):
        if name not in known:
            raise KeyError(
                f"the store of {store.model} has no site {name!r}.{did_you_mean(name, known)} It has: "
                f"{', '.join(known)}."
            )
    for name in as_names(sites) or known:
        _check_replaces_all(folder / name, -(-known[name].units // units_per_file))
    written: list[Path] = []
    for name in as_names(sites) or known:
        for batch, first in enumerate(range(0, known[name].units, units_per_file)):
            last = min(first + units_per_file, known[name].units)
            pages = [store.unit(UnitAddress(store.model, name, unit)) for unit in range(first, last)]
            for what, lines in zip(
                SUBFOLDERS,
                (map(feature_line, pages), (line for page in pages for line in activation_lines(page))),
                strict=True,
            ):
                path = folder / name / what / _batch_name(batch)
                write_atomically(path, _compressed(lines))
                written.append(path)
    return written


def _batch_name(batch: int | str) -> str:
    return f"batch-{batch}.jsonl.gz"


def _check_replaces_all(folder: Path, batches: int) -> None:
    """Check that no file of an earlier, larger export would stay between those of this one."""
    new = {_batch_name(batch) for batch in range(batches)}
    for what in SUBFOLDERS:
        old = sorted(path.name for path in (folder / what).glob(_batch_name("*")) if path.name not in new)
        if old:
            raise ValueError(
                f"{folder / what} has files of an earlier export that this one would not replace ({old[0]}): choose "
                f"another folder, or delete {folder}."
            )


def feature_line(page: UnitPage) -> dict[str, Any]:
    """What the export says about a unit."""
    effects, bars = page.logit_effects, page.histogram
    return {
        "modelId": page.address.model,
        "layer": page.address.site,
        "index": str(page.address.unit),
        # JSON has no number for "there was no token at all".
        "maxActApprox": page.statistics.maximum if math.isfinite(page.statistics.maximum) else None,
        "frac_nonzero": page.statistics.firing_rate,
        "neg_str": [token for token, _ in effects.suppressed] if effects else [],
        "neg_values": [effect for _, effect in effects.suppressed] if effects else [],
        "pos_str": [token for token, _ in effects.promoted] if effects else [],
        "pos_values": [effect for _, effect in effects.promoted] if effects else [],
        "freq_hist_data_bar_heights": list(bars.counts),
        # The middles of the bins.
        "freq_hist_data_bar_values": [
            (low + high) / 2 for low, high in zip(bars.edges[:-1], bars.edges[1:], strict=True)
        ],
        "logits_hist_data_bar_heights": [],
        "logits_hist_data_bar_values": [],
    }


def activation_lines(page: UnitPage) -> Iterator[dict[str, Any]]:
    """What the export says about the contexts of a unit."""
    for context in page.contexts:
        low, high, share = _range(page, context)
        values = list(context.values)
        yield {
            "modelId": page.address.model,
            "layer": page.address.site,
            "index": str(page.address.unit),
            "tokens": list(context.tokens),
            "values": values,
            "maxValue": max(values),
            "maxValueTokenIndex": values.index(max(values)),
            "minValue": min(values),
            "binMin": low,
            "binMax": high,
            "binContains": share,
        }


def _range(page: UnitPage, context: Context) -> tuple[float, float, float]:
    """The range of activations that a context was taken from, and the share of tokens in it."""
    everything = (page.statistics.minimum, page.statistics.maximum)
    if context.kind == "top":
        return -1, -1, -1
    if context.kind == "random":
        return *everything, 1.0
    if context.kind == "low":
        lowest = [low.value for low in page.contexts_of("low")]
        return min(lowest), max(lowest), len(lowest) / max(page.statistics.tokens, 1)
    steps = sorted({(other.quantile or 0.0, other.value) for other in page.contexts_of("quantile")})
    below = [step for step in steps if step[0] < (context.quantile or 0.0)]
    start = below[-1] if below else (0.0, everything[0])
    return start[1], context.value, (context.quantile or 0.0) - start[0]


def _compressed(lines: Iterable[dict[str, Any]]) -> bytes:
    data = io.BytesIO()
    # Without a time and a name in it, equal pages give equal bytes.
    with gzip.GzipFile(fileobj=data, mode="wb", mtime=0, filename="", compresslevel=6) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return data.getvalue()


def read_batch(path: Path) -> list[dict[str, Any]]:
    """The lines of one exported file.

    Raises:
        FileNotFoundError, ValueError: for a missing or damaged file.
    """
    regular_file(path)
    try:
        with gzip.open(path, "rb") as file:
            return [parse_json(line, str(path)) for line in file]
    except (OSError, EOFError) as error:
        raise ValueError(f"{str(path)!r} is not a complete gzip file ({error}): export it again.") from error
