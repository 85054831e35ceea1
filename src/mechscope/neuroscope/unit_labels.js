// A label of a unit: what somebody thinks it does, and whether a test agrees.

import { make } from "./elements.js";

const CLASSES = { holds: "pass", "does not hold": "fail" };

/** What a label says, in parts for one line. */
export function labelParts({ text, rule, verdict, because, scores }) {
  return [
    make("b", { textContent: text }), " ",
    make("span", { className: `verdict ${CLASSES[verdict] ?? "not-run"}`, textContent: verdict || "not tested" }),
    because && ` ${because}`,
    rule && make("small", { className: "unit-rule", textContent: `Rule: ${rule}` }),
    scores.length && make("small", { className: "unit-rule", textContent: scores.join(" · ") }),
  ].filter(Boolean);
}
