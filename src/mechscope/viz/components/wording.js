// Numbers, tokens and errors inside sentences.

import { visible } from "./tokens.js";

const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** A token inside a sentence: visible, in quotation marks, and unable to turn the sentence around. */
export function quoted(token) {
  const shown = visible(token);
  return RIGHT_TO_LEFT.test(shown) ? `“\u2068${shown}\u2069”` : `“${shown}”`;
}

/** An error's words as a sentence. A name such as mlp0 stays as it is. */
export function asSentence(words) {
  return /^\p{Ll}+(?=[\s,]|$)/u.test(words) ? words.charAt(0).toUpperCase() + words.slice(1) : words;
}

/** A share as a percentage. */
export function percent(share) {
  const value = 100 * share;
  return value > 0 && value < 0.05 ? "< 0.1 %" : `${value.toFixed(1)} %`;
}
