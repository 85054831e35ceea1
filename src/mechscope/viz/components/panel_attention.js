// The attention patterns of one layer or of all, and the chosen head enlarged.

import { renderAttention } from "./attention.js";

/** The choice of all layers instead of one. */
export const ALL_LAYERS = "all";

export const attentionPanel = {
  name: "attention",
  title: "Attention",
  html: `<p class="ms-note">A map for each head: its row is the token that reads, its column a token that is read, and the
      colour says how much.</p>
    <div class="ms-layers" role="group" aria-label="Layer"></div><div class="ms-attention"></div>`,

  async draw(scope, find, isStale) {
    const { n_layers, n_heads } = scope.subject.cfg;
    if (!n_layers) {
      find("attention").textContent = "This model has no attention layers.";
      return;
    }
    const shown = scope.shownLayers ?? scope.layer;
    const layers = shown === ALL_LAYERS ? Array.from({ length: n_layers }, (_, layer) => layer) : [shown];
    const patterns = await Promise.all(layers.map((layer) => scope.now.attention(layer)));
    if (isStale()) return;
    drawChoices(scope, find("layers"), n_layers, (choice) => {
      scope.shownLayers = choice;
      if (choice !== ALL_LAYERS) scope.chooseHead({ layer: choice, head: scope.head });
      scope.attempt(() => this.draw(scope, find, isStale));
    });
    const heads = layers.flatMap((layer) => Array.from({ length: n_heads }, (_, head) => ({ layer, head })));
    const silenced = new Set(scope.edits.filter(({ kind }) => kind === "ablate_head").map(({ layer, head }) => `${layer} ${head}`));
    const chosen = heads.findIndex(({ layer, head }) => layer === scope.layer && head === scope.head);
    renderAttention(find("attention"), {
      patterns: patterns.length === 1 ? patterns[0] : joined(patterns),
      tokens: scope.strings,
      names: heads.map(({ layer, head }) => `L${layer}H${head}`),
      columns: shown === ALL_LAYERS ? n_heads : undefined,
      selected: Math.max(chosen, 0),
      crossed: new Set(heads.flatMap(({ layer, head }, index) => (silenced.has(`${layer} ${head}`) ? [index] : []))),
      onSelect: (index) => scope.chooseHead(heads[index]),
    });
  },
};

function drawChoices(scope, element, layers, onChoose) {
  const choices = Array.from({ length: layers }, (_, layer) => [`Layer ${layer}`, layer]);
  if (layers > 1) choices.push(["All layers", ALL_LAYERS]);
  element.replaceChildren(
    ...choices.map(([words, choice]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.setAttribute("aria-pressed", String(choice === (scope.shownLayers ?? scope.layer)));
      button.addEventListener("click", () => onChoose(choice));
      return button;
    }),
  );
}

function joined(patterns) {
  const all = new Float32Array(patterns.reduce((sum, { length }) => sum + length, 0));
  let start = 0;
  for (const pattern of patterns) {
    all.set(pattern, start);
    start += pattern.length;
  }
  return all;
}
