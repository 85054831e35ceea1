// The panel of a planted circuit's page that runs a discovery method on the server.

import { make } from "./elements.js";
import { JobPanel, apiAddress } from "./job_following.js";

const MOST_EXAMPLES = 256;
const MOST_SEED = 1000000;

/** Where a server answers: the panel; in a static site there is no such element, and the page says what to do. */
export function discoveryPanel(element, record, { onResult }) {
  return new DiscoveryPanel(element, record, onResult);
}

class DiscoveryPanel extends JobPanel {
  constructor(element, record, onResult) {
    element.record = record;
    super(element, "discoveries", apiAddress());
    Object.assign(this, { record, onResult, shown: null });
    this.showCommand();
  }

  buildForm() {
    const { methods, conditions, examples } = this.element.record;
    const choice = (name, options) => make("select", { name },
      ...Object.entries(options).map(([value, words]) => new Option(words, value)));
    const number = (name, value, min, max) => make("input", { type: "number", name, min, max, step: 1, value, required: true });
    this.command = make("code");
    const form = make("form", { className: "job-form" },
      make("div", { className: "planted-choice" },
        make("label", {}, "Method ", choice("method", methods)),
        make("label", {}, "Model ", choice("condition", conditions)),
        make("label", {}, `Pairs of prompts (2 to ${MOST_EXAMPLES}) `, number("examples", examples, 2, MOST_EXAMPLES)),
        make("label", {}, "Seed: decides which prompts ", number("seed", 1, 0, MOST_SEED))),
      make("p", {}, make("button", { type: "submit", className: "job-start", textContent: "Run the method" })),
      make("p", { className: "job-same" }, "The same in a terminal: ", this.command));
    form.elements.method.value = "attribution" in methods ? "attribution" : Object.keys(methods)[0];
    form.addEventListener("input", () => this.showCommand());
    return form;
  }

  settings() {
    const { method, condition, examples, seed } = this.form.elements;
    const { program } = this.record;
    return { program, method: method.value, condition: condition.value, examples: examples.valueAsNumber, seed: seed.valueAsNumber };
  }

  results() {
    const button = make("button", { type: "button", textContent: "Show its circuit" });
    button.addEventListener("click", () => this.fetchResult(this.job, true));
    return button;
  }

  isOurs({ kind, experiment }) {
    return kind === "discovery" && experiment.program === this.record.program;
  }

  describe({ method, condition, examples, seed }) {
    const { methods, conditions } = this.record;
    return `${methods[method]}, ${conditions[condition]}, ${examples} pairs of prompts, seed ${seed}`;
  }

  // A run that was started or seen running here is shown when it is finished; one from before can be chosen.
  take(job) {
    if (job.state === "queued" || job.state === "running") this.awaited = job.id;
    super.take(job);
  }

  finished(job) {
    if (this.shown === job.id) return;
    this.shown = job.id;
    this.fetchResult(job, this.awaited === job.id);
  }

  async fetchResult(job, select) {
    try {
      this.onResult(await this.ask(`discoveries/${job.id}`), select);
    } catch (error) {
      this.complain(error);
    }
  }

  showCommand() {
    const { program, method, condition, examples, seed } = this.settings();
    const option = (name, value, usual) => (Number.isNaN(value) || value === usual ? [] : [`--${name}`, value]);
    this.command.textContent = ["mechscope discover", program, method, ...option("condition", condition, "plain"),
      ...option("examples", examples, this.record.examples), ...option("seed", seed, 0)].join(" ");
  }
}
