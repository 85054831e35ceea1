// Texts with the probability that a model gave to each token. The pointer, or the arrow keys, show a token's
// probability, its rank among all tokens, and what the model thought likelier.

import { renderRanking } from "./ranking.js";
import { choice, formatted, renderTokens, visible } from "./tokens.js";

const KINDS = ["probability", "log-probability", "rank"];
let count = 0; // of tooltips, for their ids

/**
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {object[]} props.samples the texts
 * @param {string} [props.samples[].name] a heading
 * @param {string[]} props.samples[].tokens the tokens of the text
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
  const select = (place) => strips.forEach((strip, at) => strip.select(place && place[0] === at ? place[1] : undefined));
  const blocks = samples.map((sample, at) => {
    const block = document.createElement("section");
    block.className = "ms-sample";
    block.setAttribute("aria-label", sample.name ?? `Text ${at + 1}`);
    if (sample.name) block.append(Object.assign(document.createElement("h4"), { textContent: sample.name }));
    block.append(document.createElement("div"));
    return block;
  });
  const strips = samples.map((sample, at) => {
    const text = blocks[at].lastChild;
    const hint = tooltip(blocks[at]);
    return renderTokens(text, {
      tokens: sample.tokens,
      values: valuesOf(sample, shown),
      lineBreaks,
      selected: selected?.[0] === at ? selected[1] : undefined,
      tooltips: () => "", // instead of the browser's own, there is a table
      onRead: (index) => hint(index === null ? null : text.querySelectorAll(".ms-token")[index], () => details(sample, index)),
      onSelect: (index) => {
        select([at, index]);
        onSelect?.(at, index);
      },
    });
  });
  const chooser = choice("Colours show", KINDS, KINDS.indexOf(shown), (kind) =>
    strips.forEach((strip, at) => strip.recolour(valuesOf(samples[at], KINDS[kind]))));
  element.replaceChildren(chooser, ...blocks);
  return { select };
}

/** A box under the token that is being read. Escape hides it. */
function tooltip(block) {
  const box = document.createElement("div");
  box.className = "ms-tooltip";
  box.setAttribute("role", "tooltip");
  box.id = `ms-tooltip-${(count += 1)}`;
  box.hidden = true;
  block.append(box);
  let owner = null;
  const hide = () => {
    box.hidden = true;
    owner?.removeAttribute("aria-describedby");
    owner = null;
  };
  block.addEventListener("keydown", ({ key }) => { if (key === "Escape") hide(); });
  return (token, content) => {
    hide();
    if (!token) return;
    box.replaceChildren(...content());
    box.hidden = false;
    owner = token;
    owner.setAttribute("aria-describedby", box.id);
    box.style.top = `${token.offsetTop + token.offsetHeight + 4}px`;
    box.style.left = `${Math.max(0, Math.min(token.offsetLeft, block.clientWidth - box.offsetWidth))}px`;
  };
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

/** What a token's box says: a sentence, and the likeliest tokens in its place. */
function details(sample, index) {
  const words = document.createElement("p");
  words.className = "ms-read";
  words.textContent = inWords(sample, index);
  if (sample.logprobs[index] === null || !sample.alternatives[index].length) return [words];
  const table = document.createElement("div");
  renderRanking(table, {
    caption: "The likeliest tokens here:",
    rows: sample.alternatives[index].map(({ token, logprob }) => ({ name: visible(token), value: Math.exp(logprob), note: percent(logprob) })),
  });
  return [words, table];
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
