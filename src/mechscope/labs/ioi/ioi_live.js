// Live figure of step 04: the bundled twin under the microscope, on prompts with the reader's choice of names.

import { loadBundledModel } from "./bundled_model.js";
import { Microscope } from "./microscope.js";

const STORIES = [
  (a, b, giver) => `At the stadium,${a} and${b} shared a table until${giver} offered a hat to`,
  (a, b, giver) => `The teacher asked${a} and${b} to clean the church, so${giver} threw the coat to`,
];
const element = document.querySelector("[data-live='ioi']");
const { model, tokenizer, prependBos } = await loadBundledModel("ioi-twin");

element.innerHTML = `
  <p class="live-choices"><label>First name<select class="live-first"></select></label>
    <label>Second name<select class="live-second"></select></label>
    <label>Story<select class="live-story"><option value="0">a table</option><option value="1">a church</option></select></label>
    <label>Who gives?<select class="live-giver"><option value="second">the second</option><option value="first">the first</option></select></label></p>
  <p class="live-difference" role="status"></p><div class="live-microscope"></div>`;
const find = (name) => element.querySelector(`.live-${name}`);

// What comes after "and" in a story is a name: the model's own likeliest ones.
const names = likeliestNames();
for (const [which, chosen] of [["first", names[0]], ["second", names[1]]]) {
  find(which).replaceChildren(...names.map((name) => new Option(name.trim(), name, false, name === chosen)));
}

function likeliestNames() {
  const { logits } = model.run(tokenizer.encode("At the stadium, Molly and"));
  const width = model.cfg.d_vocab_out;
  const last = logits.data.subarray(logits.data.length - width);
  return [...last.keys()].sort((a, b) => last[b] - last[a]).slice(0, 30).map((id) => tokenizer.tokens[id]).sort();
}

function texts() {
  const [first, second] = [find("first").value, find("second").value];
  const story = STORIES[Number(find("story").value)];
  const [giver, other] = find("giver").value === "second" ? [second, first] : [first, second];
  return { giver, other, prompt: story(first, second, giver), swapped: story(first, second, other) };
}

const start = texts();
const microscope = new Microscope(find("microscope"), model, tokenizer, {
  prompt: start.prompt, other: start.swapped, prependBos, onRun: report,
});
window.microscope = microscope;
for (const name of ["first", "second", "story", "giver"]) {
  find(name).addEventListener("input", () => {
    const { prompt, swapped } = texts();
    microscope.setTexts(prompt, swapped);
  });
}

/** The logit of the one who is given something, minus the giver's. */
function report(scope) {
  const { giver, other } = texts();
  if (giver === other) {
    find("difference").textContent = "Choose two different names: with one name there is nothing to tell apart.";
    return;
  }
  const width = model.cfg.d_vocab_out;
  const at = (logits, name) => logits.data[(scope.tokens.length - 1) * width + tokenizer.ids.get(name)];
  const difference = (logits) => at(logits, other) - at(logits, giver);
  const [now, clean] = [difference(scope.now.logits), difference(scope.clean.logits)];
  const changed = scope.edits.length ? `; ${clean.toFixed(2)} without your interventions` : "";
  find("difference").textContent =
    `Logit difference at the end,${other} minus${giver}: ${now.toFixed(2)}${changed}.`.replaceAll("-", "−");
}
