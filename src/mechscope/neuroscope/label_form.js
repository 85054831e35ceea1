// The form on a unit's page that writes a label, and the buttons that test one. They need a server.

import { make } from "./elements.js";
import { ask } from "./remote_model.js";
import { addressOf } from "./unit_source.js";
import { asSentence } from "./wording.js";

export class LabelForm {
  /**
   * @param {function} find part's name → element
   * @param {boolean} isServed whether there is a server
   * @param {function} changed is called with the unit's address when a label has been written or tested
   */
  constructor(find, isServed, changed) {
    Object.assign(this, { find, isServed, changed, jobs: [], drafts: new Map(), form: find("label-form") });
    find("label-it").hidden = !isServed;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** The unit that a label is for from now on. What the reader has begun to write for another unit stays with that unit. */
  open(address) {
    if (this.address && !isSame(address, this.address)) {
      this.drafts.set(addressOf(this.address), Object.fromEntries(new FormData(this.form)));
      this.form.reset();
      for (const [name, value] of Object.entries(this.drafts.get(addressOf(address)) ?? {})) this.form.elements[name].value = value;
      this.jobs = this.jobs.filter(({ isRunning }) => isRunning);
    }
    this.address = address;
    this.draw();
  }

  /** A button that tests a label; null where there is nothing to test, or no server. */
  testButton({ id, text, rule, verdict }) {
    // Servers run no programs that readers name.
    if (!this.isServed || !rule || rule.startsWith("predicate:")) return null;
    const button = make("button", { type: "button", className: "unit-edit", textContent: verdict ? "Test again" : "Test" });
    button.setAttribute("aria-label", `${button.textContent}: ${text}`);
    button.dataset.test = id;
    button.disabled = this.isTesting(id);
    const { address } = this;
    button.addEventListener("click", () => this.run(address, (job) => this.test(job, id, text)));
    return button;
  }

  submit() {
    const { address } = this;
    const written = Object.fromEntries(new FormData(this.form));
    return this.run(address, async (job) => {
      const { model, site, unit } = address;
      this.report(job, { isWriting: true, words: "Writing it down …" });
      const { label } = await ask("neuroscope/label", { model, site, unit, ...written });
      this.report(job, { isWriting: false });
      // An empty form cannot write the label a second time.
      if (isSame(address, this.address)) this.form.reset();
      this.drafts.delete(addressOf(address));
      await this.test(job, label, written.text);
    });
  }

  async test(job, label, text) {
    this.report(job, { label, words: `Testing “${text}” on texts that the unit’s page does not show …` });
    await this.changed(job.address);
    const { verdict } = await ask("neuroscope/score", { model: job.address.model, label });
    this.report(job, { label: null });
    await this.changed(job.address);
    this.report(job, { words: `The verdict on “${text}”: ${verdict}. The reason and the scores are with the labels on the unit’s page.` });
  }

  /** Do something about a unit's label, and say how far it is, or what is wrong. */
  async run(address, work) {
    const job = { address, isRunning: true };
    this.jobs = [...this.jobs.filter(({ isRunning }) => isRunning), job];
    try {
      await work(job);
    } catch (error) {
      job.words = "";
      job.problem = asSentence(error.message);
    }
    this.report(job, { isRunning: false, isWriting: false, label: null });
  }

  report(job, news) {
    Object.assign(job, news);
    this.draw();
  }

  isTesting(id) {
    return this.jobs.some(({ address: { model }, label }) => label === id && model === this.address.model);
  }

  /** Say how far everything is. What is about another unit than the one that is shown begins with its name. */
  draw() {
    const { find, address: here, jobs } = this;
    const said = (name) => jobs.filter((job) => job[name])
      .map((job) => (isSame(job.address, here) ? job[name] : `${addressOf(job.address)}: ${job[name]}`)).join(" ");
    this.form.querySelector("button").disabled = jobs.some(({ address, isWriting }) => isWriting && isSame(address, here));
    for (const button of find("label-list").querySelectorAll("[data-test]")) button.disabled = this.isTesting(Number(button.dataset.test));
    const problem = said("problem");
    find("label-status").textContent = said("words");
    find("label-problem").textContent = problem;
    find("label-problem").hidden = !problem;
  }
}

function isSame(address, other) {
  return addressOf(address) === addressOf(other);
}
