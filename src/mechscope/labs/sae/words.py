"""The numbers that the lesson of step 05 quotes, in words."""

from __future__ import annotations

from collections.abc import Mapping

from mechscope.labs.sae.config import SaeConfig, TextConfig
from mechscope.labs.sae.measures import Findings, TextFindings


def format_numbers(config: SaeConfig, found: Findings, numbers: Mapping[str, float]) -> dict[str, str]:
    """The numbers that the lesson quotes."""
    small = config.small
    best = found.small.best
    written = {
        "true_features": str(small.features),
        "d_in": str(small.d_in),
        "best_size": str(best.size),
        "best_l1": f"{best.l1:g}",
        "small_mmcs": f"{numbers['small_mmcs']:.2f}",
        "small_back": f"{numbers['small_mmcs_back']:.2f}",
        "small_found": f"{numbers['small_found']:.0f}",
        "small_shuffled": f"{numbers['small_shuffled']:.2f}",
        "small_untrained": f"{numbers['small_untrained']:.2f}",
        "toy_features": str(config.toy.features),
        "toy_hidden": str(config.toy.hidden),
        "toy_represented": f"{numbers['toy_represented']:.0f}",
        "toy_mmcs": f"{numbers['toy_mmcs']:.3f}",
        "toy_untrained": f"{numbers['toy_untrained']:.2f}",
        "toy_neurons": f"{numbers['toy_neurons']:.2f}",
        "large": "The grid at the published size is part of the full budget.",
        "text": "There was no language model in this run, so the rest of this page has no numbers.",
        "detected": "",
        "universal": "",
        "splitting": "",
        "splice": "",
        "probe": "",
        "frontier": "",
        "dead": "",
        "rare": "",
        "exchange": "That check was not part of this run.",
    }
    if "large_mmcs" in numbers:
        written["large"] = (
            f"At the published size, twice as many features as the {config.large.d_in if config.large else 0} "
            f"dimensions, the best cell reaches {numbers['large_mmcs']:.2f}."
        )
    if "exchange_peer" in numbers:
        written["exchange"] = f"The largest difference was {numbers['exchange_peer']:.1e}."
    return written if found.text is None else written | _format_text(config.text, found.text, numbers)


def _format_text(config: TextConfig, text: TextFindings, numbers: Mapping[str, float]) -> dict[str, str]:
    partner = "There was no second model of the family to compare with."
    if text.shared is not None:
        partner = (
            f"With {text.shared.partner}, the median feature finds a partner at correlation "
            f"{text.shared.features:.2f}, the median neuron at {text.shared.neurons:.2f}."
        )

    def of(name: str, digits: int = 2) -> str:
        return f"{numbers[name]:.{digits}f}"

    return {
        "text": f"Our model is {config.model}: one layer of attention, one of {text.study.model.cfg.d_mlp} neurons. "
        "The text is Python source, and what we measure on comes from modules that neither model nor dictionary has "
        "seen.",
        "detected": f"Features {of('detected_features')}, neurons {of('detected_neurons')} (0.5 would be guessing); "
        f"and a dictionary on a model with random weights: {of('detected_random')}.",
        "universal": partner,
        "splitting": f"Of {config.small_size} features, {of('features_split', 0)} % have two children or more, with "
        f"random rows {of('features_split_random', 0)} %. Siblings have a mean cosine of {of('siblings')}.",
        "splice": f"With {of('l0', 1)} active latents, {100 * numbers['fvu']:.0f} % of the variance is lost, and the "
        f"model's loss rises from {of('ce')} by {of('delta_ce', 3)} nats. Zeros in their place would cost "
        f"{of('zero_ce', 3)} nats, the mean {of('mean_ce', 3)}. So {of('recovered_zero', 0)} % or "
        f"{of('recovered_mean', 0)} % are recovered: the same dictionary, two yardsticks.",
        "probe": f"All neurons together: {of('probe_dense')}. One feature: {of('probe_one')}; ten: "
        f"{of('probe_most')}; all features: {of('probe_every')}.",
        "frontier": f"TopK's unexplained variance, over ReLU's at the same L0, is {of('frontier_worst')} at the worst "
        "point.",
        "rare": f"{of('below_valley', 0)} % of the living latents under L1 lie left of the deepest valley."
        if "below_valley" in numbers
        else "The training that is long enough to show it is part of the full budget.",
        "dead": f"Dead of {config.revival_size} latents: {of('dead_nothing', 0)} % with nothing done, "
        f"{of('dead_resampling', 0)} % with resampling, {of('dead_auxiliary', 0)} % with the auxiliary loss.",
    }
