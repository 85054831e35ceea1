"""The recipe of ioi-twin: a small model that infers indirect objects, and whose circuit step 04 takes apart."""

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
"""How much of step 04 is run for the card."""


def train(workspace: Workspace) -> Made:
    """Train it and read its circuit off for the card."""
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

- Made by: `{command}`, seed {seed}, {all_steps} steps of {batch} stories ({stories} in all);
  {made_on}. The circuit was judged on this one seed, and the settings were chosen by looking at it.
  Two more twins made with these settings, from seeds 1 and 10, passed the same claims of step 04 (4.t1 to 4.t10, on
  prompts of seeds 0, 1 and 2), with other heads and circuits of five or six. No other seed was tried.
- Shape: {shape}, LayerNorm, learned positions; {parameters} numbers, stored in float16.
- Trained under three handicaps (`mechscope.labs.ioi.division_of_labour`): the loss counts what heads before the last
  layer write straight to a name that was said, and what heads of the last layer write against one; and in a share of
  the stories the last layer's values are made from the words alone. So the last layer must name people by looking at
  them. Which heads find out who came twice, and how they tell the last layer, was not told. Without the handicaps,
  twins of this size solve the task otherwise: they write down everybody and take away who came twice.
- In the last {more_steps} steps every head had a price (`mechscope.labs.ioi.head_price`): the square root of how much
  it can write, in the loss. Heads that did little fell silent. Which ones was not told. The circuit before that, as
  path patching finds it: {first_circuit}.
- Tokens: words, with our own tokenizer of the words of `mechscope.tasks.ioi`, which comes with it. `tasks.ioi(model)`
  works as it is.
- Data: generated (`mechscope.labs.ioi.stories`), no corpus. Words stand in no order, so that only the names tell
  anything, and names stand in any order. None of the {templates} templates of `tasks.ioi` was ever seen.
- Held out of {names} names: {held_out_names}. Of them {strangers} pairs never met in a story of two or
  more people (in roll calls, which are mere lists of names, any may stand together).
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
