"""The recipe of ioi-twin: a small model that infers indirect objects, and whose circuit step 04 takes apart."""

from __future__ import annotations

from collections.abc import Mapping

from mechscope.labs.claim import Condition
from mechscope.labs.ioi.behaviour import measure_behaviour
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.measures import measure_twin
from mechscope.labs.ioi.stories import Stories
from mechscope.labs.ioi.twin_training import TwinConfig, train_first_part, train_twin
from mechscope.labs.workshop import Workshop
from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.recipe import Made, Recipe
from mechscope.tasks.indirect_object import ioi

NAME = "ioi-twin"
SEED = 0
LOOK = IOIConfig(prompts=32, judged_prompts=64, null_draws=10, rival_stories=1000)
"""How much of step 04 is run for the card."""


def train(workshop: Workshop) -> Made:
    """Train it and read its circuit off for the card."""
    config: TwinConfig = workshop.config
    model = train_twin(workshop, config, workshop.seeds[0])
    stories = Stories()
    return Made(
        model,
        words={
            "seed": str(workshop.seeds[0]),
            "steps": f"{config.steps:,}",
            "batch": str(config.batch),
            "stories": f"{(config.steps + config.more_steps) * config.batch:,}",
            "all_steps": f"{config.steps + config.more_steps:,}",
            "more_steps": f"{config.more_steps:,}",
            "strangers": str(len(stories.strangers) // 2),
            "first_part": f"{_on_held_out_names(workshop, config):.0f}",
            "names": str(len(stories.words.names)),
            "held_out_names": ", ".join(stories.held_out_names),
            "templates": str(len(stories.words.templates)),
            "circuit": _circuit(model.cpu()),
        },
    )


def _on_held_out_names(workshop: Workshop, config: TwinConfig) -> float:
    """How often the model is right on any two held-out names before they meet (%)."""
    model = train_first_part(workshop, config, workshop.seeds[0]).cpu()
    words = {"names": list(Stories().held_out_names)}
    return measure_behaviour(model, ioi(model, 256, SEED, words=words)).accuracy


def _circuit(model: HookedTransformer) -> str:
    anatomy = measure_twin(model, LOOK, SEED).anatomy
    return "none" if anatomy is None else anatomy.roles.in_words()


def measure(model: HookedTransformer) -> Mapping[str, float]:
    """Step 04's numbers, on fewer prompts."""
    return measure_twin(model, LOOK, SEED).measures


CONDITIONS = (
    Condition("held_out_accuracy", "IO beats S on prompts with held-out pairs of names", low=95, unit="%"),
    Condition("any_order_accuracy", "IO beats S, names in any order", low=95, unit="%"),
    Condition("best_rival", "the best rival or rule", high=75, unit="%"),
)

CARD = """# {name}

A small attention-only transformer that reads stories of two people, one of whom is named twice, and says the other's
name. It was trained by mechscope on generated stories and knows nothing else. It is the stand-in of step 04 for GPT-2
small: the same task, the same pipeline.

- Made by: `{command}`, seed {seed}, {all_steps} steps of {batch} stories ({stories} in
  all); {made_on}. The circuit was judged on this one seed.
- Shape: {shape}, LayerNorm, learned positions; {parameters} numbers, stored in float16.
- Tokens: words, with our own tokenizer of the words of `mechscope.tasks.ioi`, which comes with it. `tasks.ioi(model)`
  works as it is.
- Data: generated (`mechscope.labs.ioi.stories`), no corpus. Words stand in no order, so that only the names tell
  anything, and names stand in any order. None of the {templates} templates of `tasks.ioi` was ever seen.
- Held out of {names} names: {held_out_names}. In the first {steps} steps no two of them met in a story of two
  people, and on pairs of them the model was then right on {first_part} % of IOI prompts: it had learnt names, not yet
  the rule. In {more_steps} further steps they met, but for {strangers} pairs that never did.
- Those pairs, in the templates: the right name is likelier than the other on {held_out_accuracy:.1f} % of prompts; with
  names in any order on {any_order_accuracy:.1f} %. The best of eleven rivals and rules there (n-grams, skip-trigrams,
  copying, induction, rules about places) gets {best_rival:.0f} %.
- On IOI prompts: {accuracy:.1f} %, logit difference {logit_difference:.2f}, probability of the answer
  {io_probability:.0f} %.
- Circuit, as path patching finds it: {circuit}. Alone it does {faithfulness:.0f} % of what the model does; of random
  circuits of its size {random_as_good:.0f} % do as well, of layer-matched ones {matched_as_good:.0f} %.
- Attribution patching agrees with patching (r = {attribution_r:.2f} over heads); EAP-IG ranks the circuit's heads with
  an AUC of {discovery_auc:.2f}.
- Naming the answer twice misleads it: {misled_errors:.0f} % errors (naming the other a third
  time: {control_errors:.0f} %).
- Licence: MIT, like mechscope.
"""

RECIPES = (
    Recipe(
        name=NAME,
        summary="infers indirect objects in generated stories; 3 layers, attention only",
        config=TwinConfig(),
        seed=SEED,
        missing=lambda: None,
        train=train,
        measure=measure,
        conditions=CONDITIONS,
        card=CARD,
    ),
)
"""One model."""
