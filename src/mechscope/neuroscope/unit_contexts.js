// The texts on which a unit was read, as rows of coloured tokens around the one for which each was kept.

import { make } from "./elements.js";
import { formatted, renderTokens, visible } from "./tokens.js";

/** The kinds of contexts in the order of the page: a heading, and what a reader should know about them. */
export const KINDS = [
  ["top", "Where it is strongest", "The texts with its largest activations, at most one per document."],
  ["quantile", "From weak to strong", "One text at each level: “above 99 %” means that the activation is higher than on 99 % of all tokens. What you believe of a unit after the strongest texts must hold here too."],
  ["random", "At random", "Tokens drawn at random: what the unit does most of the time."],
  ["low", "Where it is lowest", "The texts with its smallest values."],
];

/** The tokens of a context that are shown: at most `width` on each side of the focus. */
export function windowOf({ tokens, values, focus }, width) {
  const from = Math.max(0, focus - width);
  const to = Math.min(tokens.length, focus + width + 1);
  return { from, tokens: tokens.slice(from, to), values: values.slice(from, to), focus: focus - from };
}

/** The ends of a unit's colour scale. Where low activations mean nothing, whatever is below 0 is as pale as 0. */
export function coloursOf({ minimum, maximum }, isSigned) {
  return { minimum: isSigned ? minimum : 0, maximum: Math.max(maximum, 1e-6) };
}

/** The share of tokens below a context, with as many digits as tell it from all of them: “99.996 %”. */
export function levelOf(share) {
  const digits = share < 1 ? Math.min(Math.max(Math.ceil(-Math.log10(100 * (1 - share))), 1), 6) : 0;
  return `${Number((100 * share).toFixed(digits))} %`;
}

/**
 * @param {HTMLElement} element what to fill
 * @param {object} page a unit's page
 * @param {object} colours from `coloursOf`: one scale for all contexts, so that a pale text is a weak one
 * @param {number} width tokens on each side
 * @param {(context: object) => {button: HTMLElement, more?: HTMLElement}} extra what to show with a context besides
 */
export function renderContexts(element, { contexts }, colours, width, extra) {
  const sections = KINDS.flatMap(([kind, heading, about]) => {
    const ofKind = contexts.filter((context) => context.kind === kind);
    if (!ofKind.length) return [];
    const words = make("p", { className: "ms-words" });
    words.setAttribute("aria-live", "polite");
    const list = make("ol", { className: "unit-contexts" }, ...ofKind.map((context) => contextLine(context, width, colours, words, extra(context))));
    return [make("section", { className: "unit-kind" }, make("h3", { textContent: `${heading} (${ofKind.length})` }),
      make("p", { className: "unit-note", textContent: about }), list, words)];
  });
  element.replaceChildren(...sections);
}

/**
 * A context as an item of a list.
 * @param {HTMLElement} words what says which token is being read
 * @param {{button?: HTMLElement, more?: HTMLElement}} extra what to show besides
 */
export function contextLine(context, width, colours, words, { button, more }) {
  const shown = windowOf(context, width);
  const strip = make("div", { className: "unit-strip" });
  const describe = (index) => {
    const value = shown.values[index];
    return `${visible(shown.tokens[index])}: ${value === null ? "not read" : formatted(value)}${index === shown.focus ? " (this text was kept for it)" : ""}`;
  };
  renderTokens(strip, {
    ...shown, ...colours,
    tooltips: describe,
    onRead: (index) => { words.textContent = index === null ? "" : describe(index); },
  });
  strip.querySelectorAll(".ms-token")[shown.focus]?.classList.add("unit-focus");
  const level = context.quantile === null ? "" : `above ${levelOf(context.quantile)}`;
  const value = make("p", { className: "unit-value" }, make("b", { textContent: formatted(context.value) }), level && make("span", { textContent: level }));
  const where = make("p", { className: "unit-where" }, make("small", { textContent: context.document, title: context.document }), button ?? "");
  return make("li", {}, value, strip, where, ...(more ? [more] : []));
}
