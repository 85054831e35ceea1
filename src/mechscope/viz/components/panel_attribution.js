// Direct logit attribution: what each component adds to the chosen token's logit, as a ranking and as maps.

import { renderHeatmap } from "./heatmap.js";
import { renderRanking } from "./ranking.js";
import { formatted, visible } from "./tokens.js";
import { quoted } from "./wording.js";

const SHOWN = 12;

export const attributionPanel = {
  name: "attribution",
  title: "What writes the chosen token?",
  label: "Direct logit attribution",
  html: `<p class="ms-note">What each component adds to the token's logit at the chosen position. Only what it writes there
      itself counts, not what it does through later components (direct logit attribution).</p>
    <div class="ms-parts"></div>
    <p><label>Map <select class="ms-parts-map">
      <option value="layers">by layer and head, at the chosen position</option>
      <option value="sources">by head and the position that it reads from</option>
      <option value="positions">by component, at every position</option></select></label></p>
    <p class="ms-note ms-parts-note" hidden>A blank row is a head whose output an intervention replaces: it no longer comes
      from positions.</p>
    <div class="ms-parts-heatmap"></div>`,

  start(scope, find) {
    find("parts-map").addEventListener("input", () => scope.redraw());
  },

  async draw(scope, find, isStale) {
    const { position, token } = scope;
    const parts = await scope.now.attribution(position, token.id);
    const kind = find("parts-map").value;
    const map = await MAPS[kind](scope, parts);
    if (isStale()) return;
    const total = parts.reduce((sum, { value }) => sum + value, 0);
    const sorted = [...parts].sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
    const rest = sorted.slice(SHOWN).reduce((sum, { value }) => sum + value, 0);
    const rows = sorted.slice(0, SHOWN).map(({ label, value }) => ({ name: label, value }));
    if (sorted.length > SHOWN) rows.push({ name: `${sorted.length - SHOWN} others`, value: rest });
    renderRanking(find("parts"), {
      caption: `Logit of ${quoted(token.name)} at position ${position}: ${formatted(total)}`,
      format: (value) => value.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "−"),
      rows,
    });
    find("parts-note").hidden = !(kind === "sources" && map.values.some(Number.isNaN));
    renderHeatmap(find("parts-heatmap"), { label: `Added to the logit of ${quoted(token.name)}`, upwards: true, ...map });
  },
};

const MAPS = {
  async layers(scope, parts) {
    const { n_layers, n_heads, attn_only } = scope.subject.cfg;
    const columns = Array.from({ length: n_heads }, (_, head) => `head ${head}`);
    if (!attn_only) columns.push("MLP");
    const values = new Array(n_layers * columns.length).fill(0);
    for (const { layer, head, value } of parts) {
      if (layer !== null) values[layer * columns.length + (head ?? n_heads)] = value;
    }
    const rows = Array.from({ length: n_layers }, (_, layer) => `block ${layer}`);
    return { rows, columns, values, onSelect: (layer, head) => { if (head < n_heads) scope.lookAtHead({ layer, head }); } };
  },
  async sources(scope) {
    const found = await scope.now.attributionBySource(scope.position, scope.token.id);
    return { ...found, columns: scope.strings.map(visible) };
  },
  async positions(scope) {
    const found = await scope.now.attributionEverywhere(scope.token.id);
    return { ...found, columns: scope.strings.map(visible), onSelect: (_, column) => scope.look(column) };
  },
};
