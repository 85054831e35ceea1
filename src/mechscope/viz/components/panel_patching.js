// Two texts that match token by token: a map of how far each single patch moves the answer, and what one patch changes.

import { inWords } from "./edits.js";
import { renderHeatmap } from "./heatmap.js";
import { SITES } from "./patching.js";
import { renderRanking } from "./ranking.js";
import { formatted, visible } from "./tokens.js";
import { asSentence, percent, quoted } from "./wording.js";

const options = Object.entries(SITES).map(([name, { words }]) => `<option value="${name}">${words}</option>`).join("");

export const patchingPanel = {
  name: "patching",
  title: "What makes the difference between two texts?",
  label: "Patching",
  html: `<label>A second text with as many tokens<textarea class="ms-other" rows="2" spellcheck="false" dir="auto"></textarea></label>
    <p class="problem ms-other-problem" role="alert" hidden></p>
    <p><label>Patch the <select class="ms-site">${options}</select></label></p>
    <p class="ms-words ms-question"></p>
    <p class="ms-note">Each cell replaces one activation of the first text's run by that of the second text. Choose a cell to
      see what it changes.</p>
    <p><button type="button" class="ms-compute" hidden>Compute the map</button></p>
    <div class="ms-patching"></div><div class="ms-patched" role="status"></div>
    <p><button type="button" class="ms-keep" hidden>Keep this patch as an intervention</button></p>`,

  start(scope, find) {
    if (scope.subject.cfg.attn_only) find("site").querySelector("[value=mlp]").remove();
    for (const name of ["other", "site"]) find(name).addEventListener("input", () => scope.compare());
    // The map of a large model takes a while, in which the server cannot do anything else for this page.
    find("compute").hidden = !scope.subject.isRemote;
    find("compute").addEventListener("click", () => scope.attempt(() => this.compare(scope, find)));
    find("keep").addEventListener("click", () => scope.attempt(() => scope.edit(this.chosen)));
  },

  /** Show no map: it would be that of other texts. */
  clear(find) {
    this.latest = null;
    this.choose(null, find);
    find("patching").replaceChildren();
    find("other-problem").hidden = find("question").hidden = true;
  },

  /** Compare the second text with the first, and fill the map while nothing newer is asked for. */
  async compare(scope, find) {
    const run = (this.latest = Symbol("patching"));
    const isStale = () => run !== this.latest;
    const [problem, question] = [find("other-problem"), find("question")];
    this.choose(null, find);
    const fail = (message) => {
      if (isStale()) return;
      problem.textContent = asSentence(message);
      problem.hidden = !message;
      if (message) find("patching").replaceChildren();
      question.hidden = Boolean(message);
    };
    try {
      const found = await this.ask(scope, find);
      if (isStale()) return;
      fail("");
      const { from, to, here, there, source, position } = found;
      const words = `At position ${position}, the logit of ${quoted(there.name)} minus that of ${quoted(here.name)} is ` +
        `${formatted(from)} in the first text and ${formatted(to)} in the second. ` +
        "0 % leaves the first text's answer as it was, 100 % turns it into the second's.";
      question.textContent = `${words} Computing …`;
      const site = find("site").value;
      const values = await scope.subject.patchingMap(
        { tokens: scope.tokens, source, site, position, plus: there.token, minus: here.token }, isStale,
      );
      if (!values || isStale()) return;
      question.textContent = words;
      const { rows, columns } = SITES[site];
      renderHeatmap(find("patching"), {
        values: Array.from(values, (value) => (100 * (value - from)) / (to - from)),
        rows: rows(scope.subject.cfg), columns: columns(scope.subject.cfg, scope.strings.map(visible)), unit: "%", upwards: true,
        label: "How far one patch moves the answer",
        onSelect: (layer, index) => this.show(scope, find, found, { kind: "patch", site, layer, index, source }).catch((error) => fail(error.message)),
      });
    } catch (error) {
      fail(error.message);
    }
  },

  /** The question that both texts answer differently: which token instead of which. */
  async ask(scope, find) {
    const { tokens, position } = scope;
    const clean = scope.clean?.tokens === tokens ? scope.clean : await scope.subject.run(tokens);
    const { tokens: source } = await scope.subject.encode(find("other").value);
    if (source.length !== tokens.length) {
      throw new Error(`This text has ${source.length} tokens and the first has ${tokens.length}: patching needs texts that match token by token.`);
    }
    const other = await scope.subject.run(source);
    const [here] = await clean.next(position, 1);
    const there = (await other.next(position, 2)).find(({ token }) => token !== here.token);
    const [from, to] = [await difference(clean, position, there, here), await difference(other, position, there, here)];
    if (Math.abs(to - from) < 1e-3) throw new Error("Both texts give the same answer at this position: change one of them, or choose a later position.");
    return { clean, source, position, here, there, from, to };
  },

  /** What one patch changes: the next tokens before and after, and the logit difference. */
  async show(scope, find, { clean, position, here, there, from }, edit) {
    const { latest } = this;
    const patched = await scope.subject.run(scope.tokens, [edit]);
    const best = await patched.next(position, 6);
    const before = await clean.chances(position, best.map(({ token }) => token));
    const now = await difference(patched, position, there, here);
    if (latest !== this.latest) return;
    renderRanking(find("patched"), {
      caption: `With the ${inWords(edit)}: logit of ${quoted(there.name)} minus that of ${quoted(here.name)} ` +
        `${formatted(now)} (was ${formatted(from)}). Next tokens:`,
      rows: best.map(({ name, probability }, index) => ({
        name: visible(name), value: probability, note: `${percent(probability)} (was ${percent(before[index].probability)})`,
      })),
    });
    this.choose(edit, find);
  },

  choose(edit, find) {
    this.chosen = edit;
    find("keep").hidden = !edit;
    if (!edit) find("patched").replaceChildren();
  },
};

async function difference(run, position, plus, minus) {
  const [right, wrong] = await run.chances(position, [plus.token, minus.token]);
  return right.logit - wrong.logit;
}
