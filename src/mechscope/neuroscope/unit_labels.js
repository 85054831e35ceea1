// A label of a unit: what somebody thinks it does, whether a test agrees, and texts on which the two disagree.

import { make } from "./elements.js";
import { formatted } from "./tokens.js";
import { contextLine } from "./unit_contexts.js";

const CLASSES = { holds: "pass", "does not hold": "fail" };
const WIDTH = 16; // tokens on each side of the one in question

export function verdictMark(verdict) {
  return make("span", { className: `verdict ${CLASSES[verdict] ?? "not-run"}`, textContent: verdict || "not tested" });
}

/** What a label says, in parts for one line. */
export function labelParts({ text, rule, verdict, because, scores }) {
  return [
    make("b", { textContent: text }), " ", verdictMark(verdict),
    because && ` ${because}`,
    rule && make("small", { className: "unit-rule", textContent: `Rule: ${rule}` }),
    scores.length && make("small", { className: "unit-rule", textContent: scores.map(scoreInWords).join(" · ") }),
  ].filter(Boolean);
}

/** A number with its interval, as in "recall 0.76 (0.69 to 0.82)". */
export function scoreInWords({ name, value, low, high }) {
  // A p-value may be small, and has no interval.
  const words = name === "p" && value !== null ? formatted(value) : shareInWords(value);
  return [name, words, intervalInWords({ low, high })].filter(Boolean).join(" ");
}

export function intervalInWords({ low, high }) {
  return low === null || high === null ? "" : `(${shareInWords(low)} to ${shareInWords(high)})`;
}

/** A number between 0 and 1. */
export function shareInWords(value) {
  return value === null ? "not defined" : value.toFixed(2);
}

/**
 * The texts on which the rule and the unit disagree, or nearly do, folded until the reader asks for them. Null if the
 * test kept none.
 * @param {object} label with its evidence
 * @param {object} colours from `coloursOf`
 * @param {(context: object) => {button?: HTMLElement}} extra what to show with a text besides
 */
export function evidenceBox({ evidence }, colours, extra = () => ({})) {
  if (!evidence.length) return null;
  const words = evidence.map(({ kind, contexts }) => `${contexts.length} ${contexts.length === 1 ? SINGULAR[kind] : kind}`).join(", ");
  return make("details", { className: "unit-evidence" }, make("summary", { textContent: `Texts: ${words}` }), ...evidenceParts(evidence, colours, extra));
}

const SINGULAR = { missed: "missed", "false alarms": "false alarm", "near misses": "near miss" };

export function evidenceParts(evidence, colours, extra = () => ({})) {
  return evidence.flatMap(({ heading, contexts }) => {
    const words = make("p", { className: "ms-words" });
    words.setAttribute("aria-live", "polite");
    const lines = contexts.map((context) => contextLine(context, WIDTH, colours, words, extra(context)));
    return [make("h3", { textContent: heading }), make("ol", { className: "unit-contexts" }, ...lines), words];
  });
}
