// Tokens of a text, coloured by a value each: one of several, if a token has several. The pointer and the arrow keys
// read single tokens; a click or Enter selects one.

import { asCss, isDark, scaleFor, textOn } from "./colours.js";
import { itemsPerRow, rove } from "./roving.js";

const ESCAPES = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };

/** A token with spaces as ␣ and invisible characters escaped, as Python's results show it (`visible_token`). */
export function visible(token) {
  const shown = token.replaceAll(/[\p{C}\p{Z}]/gu, (letter) => (letter === " " ? "␣" : (ESCAPES[letter] ?? escaped(letter))));
  return shown || "∅";
}

function escaped(letter) {
  const code = letter.codePointAt(0).toString(16);
  if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
  return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
}

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {string[]} props.tokens the tokens; a byte that is not a whole character comes as �, and is explained
 * @param {ArrayLike<number | null>} [props.values] one per token; null or not-a-number for none. For several per token:
 *   all of the first kind, then all of the second, and so on
 * @param {string[]} [props.names] what each kind of value is; the reader chooses one of them
 * @param {number} [props.shown] the kind that is shown first
 * @param {string} [props.unit] of the values
 * @param {string[] | ((index: number) => string)} [props.tooltips] a text for each token, instead of its position and value
 * @param {(index: number) => string} [props.tooltip] the same as a function (an older name)
 * @param {boolean} [props.described] show a line under the tokens with the words for the one being read
 * @param {boolean} [props.lineBreaks] break the line after tokens that end with a line break
 * @param {number} [props.minimum] the value with the palest colour, or the strongest negative one
 * @param {number} [props.maximum] the value with the strongest colour
 * @param {string} [props.positive] "#rrggbb" of the largest values
 * @param {string} [props.negative] "#rrggbb" of the most negative values
 * @param {number} [props.selected] index of the selected token
 * @param {(index: number) => void} [props.onSelect] called when the reader selects a token
 * @param {(index: number | null) => void} [props.onRead] called when the pointer or the focus comes to a token or leaves
 * @param {(kind: number) => void} [props.onShow] called when the reader chooses another kind of value
 * @returns {{recolour: (values: ArrayLike<number>) => void, select: (index: number) => void, show: (kind: number) => void}}
 */
export function renderTokens(element, props) {
  const { tokens, names = [], unit = "", described = false, lineBreaks = false, onSelect, onRead, onShow } = props;
  const { minimum, maximum, positive, negative, tooltips = props.tooltip } = props;
  const isReadable = Boolean(onSelect || onRead || described);
  let values = null;
  let kind = props.shown ?? 0;
  const strip = document.createElement("div");
  strip.className = "ms-tokens";
  const words = document.createElement("p");
  words.className = "ms-words";
  words.setAttribute("aria-live", "polite");
  const numberOf = (index) => {
    const value = values?.[index];
    return value == null || Number.isNaN(value) ? "" : `${formatted(value)}${unit && ` ${unit}`}`;
  };
  const describe = (index) => {
    const own = typeof tooltips === "function" ? tooltips(index) : tooltips?.[index];
    if (own != null) return own;
    const byte = tokens[index].includes("\ufffd") ? "bytes that are not a whole character" : "";
    return [`${index}: ${JSON.stringify(tokens[index])}`, numberOf(index), byte].filter(Boolean).join(", ");
  };
  const boxes = tokens.map((token, index) => {
    const box = document.createElement(isReadable ? "button" : "span");
    box.textContent = visible(token);
    box.className = "ms-token";
    box.dir = "auto";
    if (isReadable) box.type = "button";
    if (onSelect) box.addEventListener("click", () => { select(index); onSelect(index); });
    return box;
  });
  const select = (index) => {
    boxes.forEach((box, at) => { if (onSelect) box.setAttribute("aria-pressed", String(at === index)); });
  };
  const recolour = (next) => {
    values = next;
    const scale = values && scaleFor(Array.from(values).filter((value) => value !== null), isDark(element), { minimum, maximum, positive, negative });
    boxes.forEach((box, index) => {
      const colour = numberOf(index) ? scale.colour(values[index]) : null;
      box.style.background = colour ? asCss(colour) : "";
      box.style.color = colour ? textOn(colour) : "";
      const title = describe(index);
      if (title) box.title = title;
    });
  };
  const ofKind = (index) => {
    if (names.length < 2) return props.values ?? null;
    return Array.from(props.values).slice(index * tokens.length, (index + 1) * tokens.length);
  };
  const read = (index) => {
    words.textContent = index === null ? "" : describe(index);
    onRead?.(index);
  };
  if (isReadable) {
    const at = (event) => boxes.indexOf(event.target);
    for (const kindOfEvent of ["pointerover", "focusin"]) strip.addEventListener(kindOfEvent, (event) => { if (at(event) >= 0) read(at(event)); });
    for (const kindOfEvent of ["pointerleave", "focusout"]) strip.addEventListener(kindOfEvent, () => read(null));
    rove(strip, boxes, { current: props.selected ?? 0, columns: () => itemsPerRow(boxes) });
  }
  strip.append(...boxes.flatMap((box, index) => (lineBreaks && tokens[index].endsWith("\n") ? [box, lineBreak()] : [box])));
  select(props.selected);
  recolour(ofKind(kind));
  const parts = [strip];
  let chooser = null;
  if (names.length > 1) {
    chooser = choice("Colours show", names, kind, (index) => { kind = index; recolour(ofKind(kind)); onShow?.(kind); });
    parts.unshift(chooser);
  }
  if (described) parts.push(words);
  const focused = focusedIndex(element, ".ms-token");
  element.replaceChildren(...parts);
  boxes[focused]?.focus();
  return {
    recolour,
    select,
    show(index) {
      kind = index;
      if (chooser) chooser.querySelector("select").value = String(index);
      recolour(ofKind(kind));
    },
  };
}

/** Which of the elements that match has the focus: who draws it anew gives the focus back. -1 for none. */
export function focusedIndex(element, selector) {
  return [...element.querySelectorAll(selector)].indexOf(element.getRootNode().activeElement ?? null);
}

function lineBreak() {
  const end = document.createElement("span");
  end.className = "ms-line-break";
  return end;
}

/** A labelled menu: the reader chooses one of the names. */
export function choice(label, names, chosen, onChoose) {
  const box = document.createElement("label");
  box.className = "ms-choice";
  const menu = document.createElement("select");
  names.forEach((name, index) => menu.append(new Option(name, String(index), index === chosen, index === chosen)));
  menu.addEventListener("input", () => onChoose(Number(menu.value)));
  box.append(`${label} `, menu);
  return box;
}

export function formatted(value) {
  if (!Number.isFinite(value)) return String(value).replace("-", "−");
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.001 || size >= 10_000) ? value.toExponential(2) : value.toPrecision(3);
  return (text.includes("e") ? text : String(Number(text))).replaceAll("-", "−");
}

/** As a widget (see widget.js). */
export function mountTokens(element, props, { selected_token, shown_value }, tell) {
  const { select, show } = renderTokens(element, {
    ...props,
    described: true,
    shown: shown_value,
    selected: selected_token ?? undefined,
    onSelect: (index) => tell("selected_token", index),
    onShow: (kind) => tell("shown_value", kind),
  });
  return { selected_token: select, shown_value: show };
}
