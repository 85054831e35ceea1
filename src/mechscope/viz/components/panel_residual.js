// The residual stream at each layer and position: what the model would predict there, and how long the vector is.

import { renderHeatmap } from "./heatmap.js";
import { formatted, visible } from "./tokens.js";
import { percent, quoted } from "./wording.js";

export const lensPanel = {
  name: "lens",
  title: "Logit lens",
  html: `<p class="ms-note">The logit of the chosen token (its score, from which its probability is
      computed), if the model stopped after each block.</p><div class="ms-lens"></div>`,

  async draw(scope, find, isStale) {
    const { rows, values, best } = await scope.now.lens(scope.token.id);
    if (isStale()) return;
    const width = scope.tokens.length;
    renderHeatmap(find("lens"), {
      values,
      rows,
      columns: scope.strings.map(visible),
      upwards: true,
      label: `Logit of ${quoted(scope.token.name)}`,
      describe: (row, column) =>
        `${rows[row].replace(/^./, (letter) => letter.toUpperCase())}, ${quoted(scope.strings[column])} (${column}): logit ` +
        `${formatted(values[row * width + column])}; likeliest: ${quoted(best[row][column].name)} (${percent(best[row][column].probability)})`,
      onSelect: (_, column) => scope.look(column),
    });
  },
};

export const normsPanel = {
  name: "norms",
  title: "Length of the residual stream",
  html: `<p class="ms-note">The norm of the vector that each block reads. Blocks only ever add to it, so it usually grows;
      a first token that is far longer than the others is a place where heads rest when they have nothing to do.</p>
    <div class="ms-norms"></div>`,

  async draw(scope, find, isStale) {
    const { rows, values } = await scope.now.norms();
    if (isStale()) return;
    renderHeatmap(find("norms"), {
      values,
      rows,
      columns: scope.strings.map(visible),
      upwards: true,
      label: "Norm of the residual stream",
      onSelect: (_, column) => scope.look(column),
    });
  },
};
