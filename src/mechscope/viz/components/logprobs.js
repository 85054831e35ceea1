// Texts with the probability that a model gave to each token. The pointer, or the arrow keys, show a token's
// probability, its rank among all tokens, and what the model thought likelier.

import { renderRanking } from "./ranking.js";
import { formatted, renderTokens, visible } from "./tokens.js";

const KINDS = ["probability", "log-probability", "rank"];

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {object[]} props.samples the texts
 * @param {string} [props.samples[].name] a heading
 * @param {string[]} props.samples[].tokens
 * @param {ArrayLike<number | null>} props.samples[].logprobs the natural logarithm of each token's probability; null for
 *   a token that nothing predicted, such as the first
 * @param {ArrayLike<number | null>} props.samples[].ranks 0 for the likeliest token
 * @param {{token: string, logprob: number}[][]} props.samples[].alternatives the likeliest tokens in each place
 * @param {"probability" | "log-probability" | "rank"} [props.shown] what the colours show first
 * @param {boolean} [props.lineBreaks] break the line after tokens that end with a line break
 * @param {[number, number] | null} [props.selected] the sample and the position of the selected token
 * @param {(sample: number, position: number) => void} [props.onSelect] called when the reader selects a token
 * @returns {{select: (place: [number, number] | null) => void}}
 */
export function renderLogprobs(element, { samples, shown = KINDS[0], lineBreaks = false, selected = null, onSelect }) {
  const strips = [];
  const select = (place) => strips.forEach((strip, at) => strip.select(place && place[0] === at ? place[1] : undefined));
  const blocks = samples.map((sample, at) => {
    const block = document.createElement("section");
    block.className = "ms-sample";
    const [heading, text, details] = ["h4", "div", "div"].map((tag) => document.createElement(tag));
    heading.textContent = sample.name ?? `Text ${at + 1}`;
    block.setAttribute("aria-label", heading.textContent);
    details.className = "ms-details";
    details.setAttribute("role", "status");
    const place = selected?.[0] === at ? selected[1] : undefined;
    strips.push(renderTokens(text, {
      tokens: sample.tokens,
      values: KINDS.flatMap((kind) => valuesOf(sample, kind)),
      names: KINDS,
      shown: KINDS.indexOf(shown),
      lineBreaks,
      selected: place,
      tooltips: (index) => inWords(sample, index),
      onRead: (index) => { if (index !== null) describe(details, sample, index); },
      onSelect: (index) => {
        select([at, index]);
        onSelect?.(at, index);
      },
      onShow: (kind) => strips.forEach((strip) => strip.show(kind)),
    }));
    if (place !== undefined) describe(details, sample, place);
    if (samples.length > 1 || sample.name) block.append(heading);
    block.append(text, details);
    return block;
  });
  element.replaceChildren(...blocks);
  return { select };
}

function valuesOf({ tokens, logprobs, ranks }, kind) {
  if (kind === "rank") return tokens.map((_, index) => ranks[index]);
  return tokens.map((_, index) => (logprobs[index] === null || kind !== "probability" ? logprobs[index] : Math.exp(logprobs[index])));
}

/** A token's place in the prediction, in a sentence. */
function inWords({ tokens, logprobs, ranks, alternatives }, index) {
  const name = `“${visible(tokens[index])}” (${index})`;
  if (logprobs[index] === null) return `${name}: nothing before it predicts it`;
  const [likeliest] = alternatives[index];
  const other = ranks[index] && likeliest ? `; likeliest: “${visible(likeliest.token)}” with ${percent(likeliest.logprob)}` : "";
  return `${name}: probability ${percent(logprobs[index])}, log-probability ${formatted(logprobs[index])}, rank ${ranks[index] + 1}${other}`;
}

function describe(element, sample, index) {
  const words = document.createElement("p");
  words.className = "ms-read";
  words.textContent = inWords(sample, index);
  element.replaceChildren(words);
  if (sample.logprobs[index] === null || !sample.alternatives[index].length) return;
  const table = document.createElement("div");
  renderRanking(table, {
    caption: "The likeliest tokens here:",
    rows: sample.alternatives[index].map(({ token, logprob }) => ({ name: visible(token), value: Math.exp(logprob), note: percent(logprob) })),
  });
  element.append(table);
}

function percent(logprob) {
  const value = 100 * Math.exp(logprob);
  return value > 0 && value < 0.05 ? "< 0.1 %" : `${value.toFixed(1)} %`;
}

/** As a widget (see widget.js). */
export function mountLogprobs(element, props, { selected_token }, tell) {
  const { select } = renderLogprobs(element, {
    ...props,
    selected: selected_token,
    onSelect: (sample, position) => tell("selected_token", [sample, position]),
  });
  return { selected_token: select };
}
