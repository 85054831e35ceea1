// The list of interventions, each of which can be removed, buttons for the simplest ones, and the Python code that
// reproduces what is on the screen.

import { asPython, fits, inWords } from "./edits.js";

export const interventionsPanel = {
  name: "interventions",
  title: "Interventions",
  html: `<p class="ms-note">Change a part of the model and watch everything else on this page follow. A head reads other
      positions, an MLP works at each position for itself; both write to the residual stream, the vector that the blocks
      pass on. The mean is taken over the positions of this text.</p>
    <ol class="ms-edits"></ol>
    <div class="ms-changes"><label>Component <select class="ms-component"></select></label>
      <label>Multiply by <input class="ms-factor" type="number" value="0.5" step="0.5"></label></div>
    <p class="ms-buttons"><button type="button" class="ms-to-zero">Set it to zero</button>
      <button type="button" class="ms-to-mean">Replace it by its mean</button>
      <button type="button" class="ms-scale">Multiply it</button>
      <button type="button" class="ms-undo">Undo the last one</button></p>
    <p class="problem ms-change-problem" role="alert" hidden></p>
    <details><summary>The same in Python</summary><pre tabindex="0"><code class="ms-python"></code></pre></details>`,

  start(scope, find) {
    const component = () => {
      const [layer, head] = find("component").value.split(" ").map(Number);
      return head < 0 ? { part: "mlp", where: { layer } } : { part: "head", where: { layer, head } };
    };
    const { n_layers, n_heads, attn_only } = scope.subject.cfg;
    const options = [];
    for (let layer = 0; layer < n_layers; layer++) {
      for (let head = 0; head < n_heads; head++) options.push(new Option(`head L${layer}H${head}`, `${layer} ${head}`));
      if (!attn_only) options.push(new Option(`MLP ${layer}`, `${layer} -1`));
    }
    find("component").replaceChildren(...options);
    const change = (kind, more = {}) => {
      const { part, where } = component();
      scope.attempt(() => scope.edit({ kind: `${kind}_${part}`, ...where, ...more }));
    };
    find("to-zero").addEventListener("click", () => change("ablate"));
    find("to-mean").addEventListener("click", () => change("mean"));
    find("scale").addEventListener("click", () => {
      const factor = find("factor").valueAsNumber;
      const problem = find("change-problem");
      problem.hidden = Number.isFinite(factor);
      problem.textContent = "Give a number to multiply by: 0 removes the output, 1 leaves it, 2 doubles it.";
      if (problem.hidden) change("scale", { factor });
    });
    find("undo").addEventListener("click", () => scope.remove(scope.edits.length - 1));
  },

  draw(scope, find) {
    find("edits").replaceChildren(
      ...scope.edits.map((edit, index) => {
        const line = document.createElement("li");
        const remove = document.createElement("button");
        remove.type = "button";
        remove.textContent = "Remove";
        remove.setAttribute("aria-label", `Remove: ${inWords(edit)}`);
        remove.addEventListener("click", () => scope.remove(index));
        if (!fits(edit, scope.tokens)) line.className = "ms-unfit";
        line.append(`${inWords(edit)}${line.className ? " (left out: made for a text with another number of tokens)" : ""} `, remove);
        return line;
      }),
    );
    find("undo").disabled = !scope.edits.length;
    find("python").textContent = asPython(scope.subject.name, scope.tokens, scope.fitting);
  },
};
