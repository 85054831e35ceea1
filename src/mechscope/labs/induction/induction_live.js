// Live figure of step 03: a repeated text in a two-layer model, its attention, and the loss on both copies.

import { lossPerToken } from "./analysis.js";
import { renderAttention } from "./attention.js";
import { loadBundledModel } from "./bundled_model.js";
import { hooksOf } from "./edits.js";
import { renderTokens } from "./tokens.js";

const element = document.querySelector("[data-live='induction']");
const { model, tokenizer } = await loadBundledModel("mini-attn-only-2l");
const { n_layers, n_heads, n_ctx } = model.cfg;

element.innerHTML = `
  <label>A text, which is shown to the model twice<input type="text" class="live-text" value="Zorblax quimpled the vexing frobnitz" maxlength="80"></label>
  <p><button type="button" class="live-random">Random tokens instead</button></p>
  <p class="problem live-problem" role="alert" hidden></p>
  <p class="live-loss" role="status"></p><div class="live-tokens"></div>
  <h3>Choose a head to switch it off or on</h3>
  ${Array.from({ length: n_layers }, (_, layer) => `<h4>Layer ${layer}</h4><div class="live-layer-${layer}"></div>`).join("")}`;
const find = (name) => element.querySelector(`.live-${name}`);
let off = []; // interventions: the heads that are switched off
let once = [];

function readText() {
  once = tokenizer.encode(find("text").value);
  update();
}

function drawRandomTokens() {
  once = Array.from({ length: 16 }, () => 100 + Math.floor(Math.random() * 400));
  update();
}

function update() {
  const problem = find("problem");
  const most = Math.floor((n_ctx - 1) / 2);
  problem.hidden = once.length >= 2 && once.length <= most;
  problem.textContent = `The text has ${once.length} tokens; it needs between 2 and ${most}, because it is shown twice.`;
  if (!problem.hidden) return;
  const tokens = [tokenizer.bos, ...once, ...once];
  const { logits, cache } = model.run(tokens, { record: (name) => name.endsWith("pattern"), hooks: hooksOf(off, model) });
  const losses = lossPerToken(logits, tokens);
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  // The loss at position i is the loss on token i + 1. The second copy's first token cannot be known.
  const first = mean(losses.slice(0, once.length));
  const second = mean(losses.slice(once.length + 1, -1));
  find("loss").textContent =
    `Mean loss: ${first.toFixed(2)} nats on the first copy, ${second.toFixed(2)} on the second` +
    (off.length ? ` (without ${off.map(({ layer, head }) => `L${layer}H${head}`).join(", ")}).` : ".");
  const strings = tokenizer.strings(tokens);
  renderTokens(find("tokens"), { tokens: strings, values: [null, ...losses.slice(0, -1)], unit: "nats", minimum: 0, maximum: 8 });
  for (let layer = 0; layer < n_layers; layer++) {
    renderAttention(find(`layer-${layer}`), {
      patterns: cache.get(`blocks.${layer}.attn.hook_pattern`).data,
      tokens: strings,
      names: Array.from({ length: n_heads }, (_, head) => `L${layer}H${head}`),
      selected: chosen[layer],
      crossed: new Set(off.filter((edit) => edit.layer === layer).map(({ head }) => head)),
      onSelect: (head) => {
        chosen[layer] = head;
        const others = off.filter((edit) => edit.layer !== layer || edit.head !== head);
        off = others.length < off.length ? others : [...off, { kind: "ablate_head", layer, head }];
        update();
        find(`layer-${layer}`).querySelectorAll("button")[head].focus();
      },
    });
  }
}

const chosen = Array(n_layers).fill(0);
find("text").addEventListener("input", readText);
find("random").addEventListener("click", drawRandomTokens);
readText();
