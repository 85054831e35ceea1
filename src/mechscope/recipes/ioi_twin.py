"""The recipe of ioi-twin: a small model that infers indirect objects, whose circuit step 04 analyses."""

from __future__ import annotations

from collections.abc import Mapping

from mechscope.labs.claim import Condition
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.measures import measure_twin
from mechscope.labs.ioi.stories import Stories
from mechscope.labs.ioi.twin_training import TwinConfig, train_first_part, train_twin
from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.recipe import Made, Recipe
from mechscope.runs.workspace import Workspace

NAME = "ioi-twin"
SEED = 0
LOOK = IOIConfig(prompts=32, judged_prompts=64, null_draws=10, rival_stories=1000)
"""The part of step 04 that is run for the card."""


def train(workspace: Workspace) -> Made:
    """Train it, and find its circuit for the card."""
    config: TwinConfig = workspace.config
    model = train_twin(workspace, config, workspace.seeds[0])
    stories = Stories()
    return Made(
        model,
        words={
            "seed": str(workspace.seeds[0]),
            "steps": f"{config.steps:,}",
            "batch": str(config.batch),
            "more_steps": f"{config.more_steps:,}",
            "all_steps": f"{config.steps + config.more_steps:,}",
            "stories": f"{(config.steps + config.more_steps) * config.batch:,}",
            "first_circuit": _circuit(train_first_part(workspace, config, workspace.seeds[0]).cpu()),
            "strangers": str(len(stories.strangers) // 2),
            "names": str(len(stories.words.names)),
            "held_out_names": ", ".join(stories.held_out_names),
            "templates": str(len(stories.words.templates)),
            "circuit": _circuit(model.cpu()),
        },
    )


def _circuit(model: HookedTransformer) -> str:
    anatomy = measure_twin(model, LOOK, SEED).anatomy
    return "none" if anatomy is None else anatomy.roles.in_words()


def measure(model: HookedTransformer) -> Mapping[str, float]:
    """The measures of step 04, on fewer prompts."""
    return measure_twin(model, LOOK, SEED).measures


CONDITIONS = (
    Condition("held_out_accuracy", "IO beats S on prompts with held-out pairs of names", low=95, unit="%"),
    Condition("any_order_accuracy", "IO beats S, names in any order", low=95, unit="%"),
    Condition("best_rival", "the best rival or rule", high=75, unit="%"),
)

CARD = """# {name}

A small attention-only transformer that reads stories of two people, one of whom is named twice, and predicts the
other's name. mechscope trained it on generated stories, and it knows nothing else. It replaces GPT-2 small in step 04:
the same task, the same pipeline.

- Made by: `{command}`, seed {seed}, {all_steps} steps of {batch} stories ({stories} in all);
  {made_on}. The circuit was judged on this one seed, and the settings were chosen by looking at it.
  Two more twins made with these settings, from seeds 1 and 10, passed the same claims of step 04 (4.t1 to 4.t10, on
  prompts of seeds 0, 1 and 2), with other heads and circuits of five or six. No other seed was tried.
- Shape: {shape}, LayerNorm, learned positions; {parameters} numbers, stored in float16.
- Trained under three handicaps (`mechscope.labs.ioi.division_of_labour`): the loss penalises what heads before the last
  layer write directly to a name in the story, and what heads of the last layer write against one; and in some of the
  stories the values of the last layer are computed from the words alone. So the last layer must name people by
  attending to them. Which heads find out who was named twice, and how they pass it on to the last layer, was not
  prescribed. Without the handicaps, twins of this size solve the task differently: they raise the logits of all the
  names and then lower that of the name that occurred twice.
- In the last {more_steps} steps every head had a price (`mechscope.labs.ioi.head_price`): the square root of how much
  it can write was added to the loss. Heads that did little fell silent; which ones was not prescribed. The circuit
  before that, as found by path patching: {first_circuit}.
- Tokens: words, with our own tokenizer of the words of `mechscope.tasks.ioi`, which comes with the model.
  `tasks.ioi(model)` works as it is.
- Data: generated (`mechscope.labs.ioi.stories`), no corpus. Words are in random order, so that only the names carry
  information, and names come in any order. The model never saw any of the {templates} templates of `tasks.ioi`.
- Held out of {names} names: {held_out_names}. Of these, {strangers} pairs never occurred together in a story of two or
  more people (in roll calls, which are plain lists of names, any names may occur together).
- With those pairs in the templates, the right name is likelier than the other on {held_out_accuracy:.1f} % of prompts;
  with names in any order, on {any_order_accuracy:.1f} %. There, the best of eleven baselines and rules (n-grams,
  skip-trigrams, copying, induction, rules about positions) gets {best_rival:.0f} %.
- On IOI prompts: {accuracy:.1f} %, logit difference {logit_difference:.2f}, probability of the answer
  {io_probability:.0f} %.
- Circuit, as found by path patching: {circuit}. Alone it does {faithfulness:.0f} % of what the model does; of random
  circuits of its size {random_as_good:.0f} % do as well, of layer-matched ones {matched_as_good:.0f} %.
- Attribution patching agrees with patching (r = {attribution_r:.2f} over heads); EAP-IG ranks the circuit's heads with
  an AUC of {discovery_auc:.2f}.
- Naming the answer twice misleads it: {misled_errors:.0f} % errors (with the other named a third
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
