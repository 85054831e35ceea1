// Add a direction to the residual stream: towards a word, from one word to another, or from one text to another.

import { formatted } from "./tokens.js";
import { asSentence } from "./wording.js";

export const steeringPanel = {
  name: "steering",
  title: "Steer",
  html: `<p class="ms-note">Add a direction to the residual stream, and watch what the model says next. The direction is made one unit long; its strength says how many units are added.</p>
    <div class="ms-changes"><label>Direction <select class="ms-direction">
        <option value="word">towards a word: its column of the unembedding</option>
        <option value="words">from one word to another: the difference of their columns</option>
        <option value="texts">from one text to another: the difference of their residual streams at the last token</option>
      </select></label></div>
    <div class="ms-changes"><label class="ms-from-label">From <input class="ms-from" type="text" spellcheck="false" dir="auto"></label>
      <label><span class="ms-to-words">Word</span> <input class="ms-to" type="text" spellcheck="false" dir="auto"></label></div>
    <div class="ms-changes"><label>Before block <select class="ms-steer-layer"></select></label>
      <label>Where <select class="ms-steer-where"><option value="all">at every position</option><option value="here">at the chosen position</option></select></label>
      <label>Strength <input class="ms-strength" type="number" value="4" step="1"></label></div>
    <p class="ms-words ms-strength-hint" role="status"></p>
    <p><button type="button" class="ms-steer">Add this direction</button></p>
    <p class="problem ms-steer-problem" role="alert" hidden></p>`,

  start(scope, find) {
    const layers = Array.from({ length: scope.subject.cfg.n_layers }, (_, layer) => new Option(String(layer), String(layer)));
    find("steer-layer").replaceChildren(...layers);
    find("steer-layer").value = String(Math.floor(scope.subject.cfg.n_layers / 2));
    const arrange = () => {
      const kind = find("direction").value;
      find("from-label").hidden = kind === "word";
      find("to-words").textContent = kind === "word" ? "Word" : "To";
    };
    arrange();
    find("direction").addEventListener("input", arrange);
    find("steer-layer").addEventListener("input", () => scope.redraw());
    const problem = find("steer-problem");
    find("steer").addEventListener("click", async () => {
      problem.hidden = true;
      try {
        await scope.edit(await steeringEdit(scope, find));
      } catch (error) {
        problem.textContent = asSentence(error.message);
        problem.hidden = false;
      }
    });
  },

  async draw(scope, find, isStale) {
    const { values } = await scope.now.norms();
    if (isStale()) return;
    const layer = Number(find("steer-layer").value);
    find("strength-hint").textContent = `Before block ${layer}, the residual stream at position ${scope.position} is ` +
      `${formatted(values[layer * scope.tokens.length + scope.position])} long: a strength of about that size changes a lot.`;
  },
};

/** The intervention that the controls describe. */
async function steeringEdit(scope, find) {
  const scale = find("strength").valueAsNumber;
  if (!Number.isFinite(scale)) throw new Error("Give a number as the strength, such as 4; negative numbers push away from the direction.");
  const common = { layer: Number(find("steer-layer").value), scale };
  if (find("steer-where").value === "here") common.position = scope.position;
  const [from, to] = [find("from").value, find("to").value];
  const kind = find("direction").value;
  if (kind === "texts") {
    const [plus, minus] = [await scope.subject.encode(to), await scope.subject.encode(from)];
    return { kind: "contrast", ...common, plus: plus.tokens, minus: minus.tokens, plus_text: to, minus_text: from };
  }
  const token = await scope.subject.singleToken(to);
  if (kind === "word") return { kind: "steer", ...common, token, name: to };
  const minus_token = await scope.subject.singleToken(from);
  if (minus_token === token) throw new Error("Both words are the same token, so there is no direction from one to the other.");
  return { kind: "steer", ...common, token, name: to, minus_token, minus_name: from };
}
