// The page of one feature: where it is strongest in Python's standard library, and which tokens it promotes.

import { readBytes } from "./files.js";
import { readSafetensors } from "./safetensors.js";
import { percent } from "./wording.js";
import { formatted, renderTokens, visible } from "./tokens.js";

const LEVELS = 255; // as in labs/sae/live_data.py: a context's activations in parts of the largest

export class FeaturePages {
  constructor(tensors) {
    this.tensors = tensors;
  }

  static async load(path) {
    return new FeaturePages(readSafetensors(await readBytes(path)));
  }

  /** What is known about a feature. */
  page(feature) {
    const row = (name) => {
      const { shape, data } = this.tensors.get(name);
      const size = data.length / shape[0];
      return [...data.subarray(feature * size, (feature + 1) * size)];
    };
    const [, contexts, length] = this.tensors.get("tokens").shape;
    const [density] = row("density");
    const [largest] = row("largest");
    const [tokens, activations] = [row("tokens"), row("activations")];
    return {
      density,
      largest,
      contexts: Array.from({ length: contexts }, (_, index) =>
        Array.from({ length }, (_, pos) => index * length + pos)
          .filter((at) => tokens[at] >= 0)
          .map((at) => ({ token: tokens[at], activation: (activations[at] * largest) / LEVELS })),
      ).filter((context) => context.length),
      promoted: zip(row("promoted"), row("promoted_by")),
      suppressed: zip(row("suppressed"), row("suppressed_by")),
    };
  }
}

function zip(tokens, values) {
  return tokens.map((token, index) => ({ token, value: values[index] }));
}

/**
 * @param {HTMLElement} element what to fill
 * @param {object} page from `FeaturePages.page`
 * @param {Tokenizer} tokenizer
 */
export function renderFeaturePage(element, page, tokenizer) {
  const name = (token) => visible(tokenizer.decode([token]));
  const facts = paragraph(
    `Active on ${percent(page.density)} of the tokens of Python's standard library; largest activation ${formatted(page.largest)}.`);
  const title = document.createElement("h4");
  title.textContent = "Where it is strongest";
  const contexts = page.contexts.map((context) => {
    const line = document.createElement("div");
    line.className = "live-context";
    renderTokens(line, {
      tokens: tokenizer.strings(context.map(({ token }) => token)),
      values: context.map(({ activation }) => activation), minimum: 0, maximum: page.largest,
    });
    return line;
  });
  const listed = (words, entries) => {
    const line = paragraph(words);
    for (const { token, value } of entries) {
      const box = document.createElement("span");
      box.className = "ms-token";
      box.textContent = name(token);
      box.title = `${formatted(value)} per unit of activation`;
      line.append(" ", box);
    }
    return line;
  };
  element.replaceChildren(facts, title, ...contexts,
    listed("It makes these tokens likelier:", page.promoted), listed("And these less likely:", page.suppressed));
}

function paragraph(text) {
  const made = document.createElement("p");
  made.className = "live-fact";
  made.textContent = text;
  return made;
}
