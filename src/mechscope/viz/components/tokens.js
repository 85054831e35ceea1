// Tokens of a text, coloured by one value each. A click or Enter selects one.

import { asCss, isDark, scaleFor, textOn } from "./colours.js";

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
 * @param {string[]} props.tokens
 * @param {(number | null)[]} [props.values] one per token; null for none
 * @param {string} [props.unit] of the values
 * @param {(index: number) => string} [props.tooltip] text shown while the pointer is over a token
 * @param {number} [props.selected] index of the selected token
 * @param {(index: number) => void} [props.onSelect]
 */
export function renderTokens(element, { tokens, values = null, unit = "", tooltip, selected, onSelect, minimum, maximum }) {
  const scale = values && scaleFor(values.filter((value) => value !== null), isDark(element), { minimum, maximum });
  element.classList.add("ms-tokens");
  element.replaceChildren(
    ...tokens.map((token, index) => {
      const box = document.createElement(onSelect ? "button" : "span");
      box.textContent = visible(token);
      box.className = "ms-token";
      const value = values?.[index];
      const number = value === null || value === undefined ? "" : `${formatted(value)}${unit && ` ${unit}`}`;
      box.title = tooltip ? tooltip(index) : [`${index}: ${JSON.stringify(token)}`, number].filter(Boolean).join(", ");
      if (number) {
        const colour = scale.colour(value);
        box.style.background = asCss(colour);
        box.style.color = textOn(colour);
      }
      if (onSelect) {
        box.type = "button";
        box.setAttribute("aria-pressed", String(index === selected));
        box.addEventListener("click", () => onSelect(index));
      }
      return box;
    }),
  );
}

export function formatted(value) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.001 || size >= 10_000) ? value.toExponential(2) : value.toPrecision(3);
  return (text.includes("e") ? text : String(Number(text))).replace("-", "−");
}
