// Live figure of step 02: scrub through the training, and add up cosines for two numbers of the reader's choice.

import { centred, cosineSum, explainedShare } from "./cosine_sum.js";
import { readBytes, readJson } from "./files.js";
import { renderLines } from "./lines.js";
import { readSafetensors } from "./safetensors.js";
import { percent } from "./wording.js";
import { TrainingScrubber } from "./training_scrubber.js";
import { Transformer } from "./transformer.js";

const element = document.querySelector("[data-live='grokking']");
const folder = "files/models/grokking-p113";
const [described, waves, config, weights] = await Promise.all([
  readJson("files/steps/grokking/waves.json"), readBytes("files/steps/grokking/waves.safetensors"),
  readJson(`${folder}/config.json`), readBytes(`${folder}/model.safetensors`),
]);
const model = new Transformer(config, readSafetensors(weights));
const { p } = described;

element.innerHTML = `
  <div class="live-training"></div>
  <h3>Add up the cosines</h3>
  <p class="ms-words">For each possible answer c, the cosine of each key frequency k is α cos(2πk(a + b − c) / ${p}). At
    c = a + b all of them are at their top. The same amounts α serve all pairs.</p>
  <p class="live-choices"><label>a<input type="number" class="live-a" min="0" max="${p - 1}" step="1" value="57"></label>
    <label>b<input type="number" class="live-b" min="0" max="${p - 1}" step="1" value="88"></label></p>
  <p class="problem live-problem" role="alert" hidden></p>
  <p class="live-answer" role="status"></p><h4>One cosine per key frequency</h4><div class="live-parts"></div>
  <h4>Their sum, and the model</h4><div class="live-cosines"></div>`;
const find = (name) => element.querySelector(`.live-${name}`);
const scrubber = new TrainingScrubber(find("training"), described, readSafetensors(waves));

function add() {
  const inputs = [find("a"), find("b")];
  const wrong = inputs.some((input) => input.value === "" || !input.checkValidity());
  find("problem").hidden = !wrong;
  find("problem").textContent = `Both must be whole numbers from 0 to ${p - 1}: the model has a token for each of these and no other.`;
  if (wrong) return;
  const [a, b] = inputs.map((input) => Number(input.value));
  const answer = (a + b) % p;
  scrubber.mark([a, b, answer]);
  const { parts, total } = cosineSum(described, a, b);
  const { logits } = model.run([a, b, p]);
  const row = logits.data.slice(-p);
  const best = (values) => values.reduce((top, value, c) => (value > values[top] ? c : top), 0);
  const probability = 1 / row.reduce((sum, value) => sum + Math.exp(value - row[best(row)]), 0);
  const share = explainedShare(row, total);
  window.grokking = { scrubber, logits: row, total, share };
  find("answer").textContent =
    `(${a} + ${b}) mod ${p} = ${answer}. The sum of the cosines is largest at c = ${best(total)}; the model answers ${best(row)} ` +
    `(${percent(probability)}). The sum explains ${percent(share)} of the variance of its ${p} logits.`;
  const axis = { x: Array.from({ length: p }, (_, c) => c), xLabel: "answer c", yLabel: "logit", mark: answer };
  renderLines(find("parts"), {
    ...axis, label: "The cosine of each key frequency, over all answers",
    series: parts.map((values, i) => ({ name: `frequency ${described.keys[i]}, α = ${described.amplitudes[i].toFixed(1)}`, values })),
  });
  renderLines(find("cosines"), {
    ...axis, label: "The sum of the cosines and the model's logits, over all answers",
    series: [{ name: "sum of the cosines", values: total, thick: true }, { name: "the model's logits, minus their mean", values: centred(row) }],
  });
}

for (const name of ["a", "b"]) find(name).addEventListener("input", add);
addEventListener("mechscope-theme", () => { scrubber.draw(); add(); });
add();
