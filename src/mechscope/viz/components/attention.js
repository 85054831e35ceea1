// The attention patterns of several heads: small maps to choose from, the chosen one enlarged, and the tokens of the
// text, which show where a token attends to (or what attends to it) while the pointer or the focus is on it.

import { isDark, scaleFor } from "./colours.js";
import { paint, renderHeatmap } from "./heatmap.js";
import { rove } from "./roving.js";
import { choice, focusedIndex, formatted, renderTokens, visible } from "./tokens.js";

const DIRECTIONS = ["what it attends to", "what attends to it"];
const SCALES = ["shared", "head"];

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {ArrayLike<number>} props.patterns [head query key], flat; not-a-number is left blank
 * @param {string[]} props.tokens the text; any number, 300 are fast
 * @param {string[]} props.names one per head
 * @param {number} [props.columns] heads per row of the grid, such as the heads of a layer; rows then run upwards, as
 *   layers do in every figure. As many as fit, from left to right, if omitted
 * @param {boolean} [props.causal] leave the cells of later keys blank; if omitted, do so if all of them are 0
 * @param {"shared" | "head"} [props.scale] one colour scale for all heads, or each head its own
 * @param {boolean} [props.choosesScale] let the reader choose between these two
 * @param {number} [props.minimum] the weight with the palest colour, or the strongest negative one; 0 if omitted and no
 *   weight is negative
 * @param {number} [props.maximum] the weight with the strongest colour; 1 if omitted and all lie between 0 and 1
 * @param {string} [props.positive] "#rrggbb" of the largest weights
 * @param {string} [props.negative] "#rrggbb" of the most negative weights
 * @param {string} [props.unit] of the values
 * @param {boolean} [props.table] offer the weights of the enlarged head as a table
 * @param {number} [props.selected] the enlarged head
 * @param {number | null} [props.locked] the token whose weights are held
 * @param {Set<number>} [props.crossed] heads that are marked as ablated
 * @param {(head: number) => void} [props.onSelect] called when the reader chooses a head
 * @param {(token: number | null) => void} [props.onLock] called when the reader holds a token's weights, or lets go
 * @param {(query: number, key: number) => void} [props.onCell] called when the reader selects a cell of the large map
 * @returns {{select: (head: number) => void, lock: (token: number | null) => void}}
 */
export function renderAttention(element, props) {
  const { patterns, tokens, names, crossed = new Set(), unit = "", onSelect, onLock, onCell } = props;
  const size = tokens.length ** 2;
  const dark = isDark(element);
  const cut = patterns.subarray ? "subarray" : "slice";
  const of = (index) => patterns[cut](index * size, (index + 1) * size);
  const causal = props.causal ?? isCausal(patterns, names.length, tokens.length);
  const labels = tokens.map(visible);
  const limits = limitsOf(patterns, props);
  const buttons = [];
  let [head, locked, direction] = [props.selected ?? 0, props.locked ?? null, 0];
  let from = null; // the token whose weights colour the text
  let kind = props.scale ?? "shared";

  const sharedScale = scaleFor([], dark, limits);
  const scale = (index) => (kind === "shared" ? sharedScale : scaleFor(of(index), dark, props));
  const pair = (token, other) => (direction ? [other, token] : [token, other]);
  const isBlank = ([query, key]) => causal && key > query;
  const weight = ([query, key]) => patterns[head * size + query * tokens.length + key];
  const sentence = (query, key) =>
    `${names[head]}: “${labels[query]}” (${query}) attends to “${labels[key]}” (${key}): ${formatted(weight([query, key]))} ${unit}`.trim();
  const strongest = (token) => {
    const others = [...tokens.keys()].filter((other) => !isBlank(pair(token, other)));
    others.sort((a, b) => weight(pair(token, b)) - weight(pair(token, a)));
    const best = others.slice(0, 3).map((other) => `“${labels[other]}” (${other}) ${formatted(weight(pair(token, other)))}`);
    return `${names[head]}: “${labels[token]}” (${token}) ${direction ? "is attended to most by" : "attends most to"} ${best.join(", ")}`;
  };

  const [grid, large, text] = ["ms-heads", "ms-large", "ms-attended"].map((name) => box("div", name));
  const words = box("p", "ms-read");
  words.setAttribute("aria-live", "polite");
  grid.hidden = names.length < 2;
  if (props.columns) {
    grid.classList.add("ms-rows-of-heads");
    grid.style.setProperty("--ms-columns", props.columns);
  }
  const strip = renderTokens(text, {
    tokens,
    selected: locked ?? undefined,
    tooltips: (token) => (from === null ? `“${labels[token]}” (${token})` : sentence(...pair(from, token))),
    onRead: (token) => {
      if (locked === null) colourFrom(token);
      else if (token !== null) words.textContent = sentence(...pair(locked, token));
    },
    onSelect: (token) => {
      lock(token === locked ? null : token);
      onLock?.(locked);
    },
    ...limits,
  });
  function colourFrom(token) {
    from = token;
    if (token !== null) words.textContent = strongest(token);
    strip.recolour(tokens.map((_, other) => (token === null || isBlank(pair(token, other)) ? null : weight(pair(token, other)))));
  }
  function lock(token) {
    locked = token;
    strip.select(token);
    colourFrom(token);
  }
  function select(index) {
    head = index;
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === index)));
    makeReachable(index);
    renderHeatmap(large, {
      values: blanked(of(index), tokens.length, causal),
      rows: labels,
      columns: labels,
      label: `${names[index]}: from each token (row) to each token (column)`,
      unit,
      describe: sentence,
      scale: scale(index),
      table: props.table,
      onSelect: onCell,
      onRead: (query, key) => { if (locked === null) colourFrom(direction ? key : query); },
    });
    colourFrom(locked);
  }
  function redraw() {
    buttons.forEach((button, index) =>
      paint(button.firstChild, blanked(of(index), tokens.length, causal), tokens.length, tokens.length, scale(index)));
    select(head);
  }

  names.forEach((name, index) => {
    const button = box("button", crossed.has(index) ? "ms-head ms-crossed" : "ms-head");
    button.type = "button";
    const canvas = box("canvas", "ms-map");
    canvas.setAttribute("aria-hidden", "true");
    const label = document.createElement("span");
    label.textContent = crossed.has(index) ? `${name} (ablated)` : name;
    button.append(canvas, label);
    button.addEventListener("click", () => {
      select(index);
      onSelect?.(index);
    });
    if (props.columns) {
      button.style.gridRow = String(Math.ceil(names.length / props.columns) - Math.floor(index / props.columns));
      button.style.gridColumn = String((index % props.columns) + 1);
    }
    buttons.push(button);
  });
  const controls = box("p", "ms-controls");
  controls.append(choice("Reading a token below shows", DIRECTIONS, 0, (index) => { direction = index; colourFrom(locked); }));
  if (props.choosesScale && names.length > 1) {
    controls.append(choice("Colour scale", ["the same for all heads", "each head its own"], SCALES.indexOf(kind), (index) => {
      kind = SCALES[index];
      redraw();
    }));
  }
  const focused = focusedIndex(element, ".ms-head");
  grid.append(...buttons);
  element.replaceChildren(grid, large, controls, text, words);
  const perRow = () => (props.columns ? -props.columns : getComputedStyle(grid).gridTemplateColumns.split(" ").length);
  const makeReachable = rove(grid, buttons, { current: head, columns: perRow });
  redraw();
  buttons[focused]?.focus();
  return { select, lock };
}

function box(tag, className) {
  return Object.assign(document.createElement(tag), { className });
}

/** Whether no token attends to a later one. */
function isCausal(patterns, heads, length) {
  for (let head = 0; head < heads; head++) {
    for (let query = 0; query < length; query++) {
      const row = (head * length + query) * length;
      for (let key = query + 1; key < length; key++) if (patterns[row + key] !== 0 && Number.isFinite(patterns[row + key])) return false;
    }
  }
  return true;
}

/** The pattern with the cells of later keys blank. */
function blanked(values, length, causal) {
  if (!causal) return values;
  const shown = values.subarray ? values.slice() : Float32Array.from(values);
  for (let query = 0; query < length; query++) shown.fill(NaN, query * length + query + 1, (query + 1) * length);
  return shown;
}

/** One scale for all heads: from 0 to 1 for probabilities, and otherwise what the values need. */
function limitsOf(patterns, { minimum, maximum, positive, negative }) {
  let [low, high] = [0, 0];
  for (const value of patterns) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const limits = low < 0 ? { minimum: low, maximum: high } : { minimum: 0, maximum: high > 1.0001 ? high : 1 };
  return { minimum: minimum ?? limits.minimum, maximum: maximum ?? limits.maximum, positive, negative };
}

/** As a widget (see widget.js). */
export function mountAttention(element, props, { selected_head, selected_token }, tell) {
  const { select, lock } = renderAttention(element, {
    ...props,
    selected: selected_head,
    locked: selected_token,
    onSelect: (head) => tell("selected_head", head),
    onLock: (token) => tell("selected_token", token),
    onCell: (query, key) => tell("selected_cell", [query, key]),
  });
  return { selected_head: select, selected_token: lock };
}
