// The likeliest next tokens at the chosen position, before and after the interventions.

import { renderRanking } from "./ranking.js";
import { visible } from "./tokens.js";
import { percent, quoted } from "./wording.js";

export const predictionPanel = {
  name: "prediction",
  title: "What comes next?",
  label: "Prediction",
  html: `<div class="ms-next"></div>`,

  async draw(scope, find, isStale) {
    const best = await scope.now.next(scope.position);
    if (!scope.token) scope.choose(best[0]);
    const before = scope.fitting.length ? await scope.clean.chances(scope.position, best.map(({ token }) => token)) : null;
    if (isStale()) return;
    renderRanking(find("next"), {
      caption: `After ${quoted(scope.strings[scope.position])} (position ${scope.position}). Choose a token to look for.`,
      rows: best.map(({ name, probability }, index) => ({
        name: visible(name),
        value: probability,
        note: percent(probability) + (before ? ` (was ${percent(before[index].probability)})` : ""),
      })),
      onSelect: (index) => { scope.choose(best[index]); scope.redraw(); },
    });
  },
};
