// The panel of a step's page that runs its experiment: choose a budget and a seed.

import { make } from "./elements.js";
import { JobPanel, apiAddress, inWords } from "./job_following.js";

class StepPanel extends JobPanel {
  constructor(element) {
    super(element, "jobs", apiAddress());
    this.showCommand();
    this.ask(`steps/${this.step}/times`).then(({ times }) => this.showTimes(times)).catch((error) => this.complain(error));
  }

  get step() {
    return this.element.dataset.job;
  }

  buildForm() {
    const radio = (budget, words) => {
      const input = make("input", { type: "radio", name: "job-budget", value: budget, checked: budget === "quick" });
      input.addEventListener("change", () => this.showCommand());
      return make("label", {}, input, ` ${budget}: ${words}`, make("span", { className: `job-time-${budget}` }));
    };
    const budgets = make("fieldset", {}, make("legend", { textContent: "Budget" }),
      radio("quick", "one seed, small models"), radio("full", "several seeds, and larger models in some steps"));
    this.seed = make("input", { type: "number", min: 0, max: 1000000, step: 1, value: 0, required: true });
    this.seed.addEventListener("input", () => this.showCommand());
    this.command = make("code");
    const start = make("button", { type: "submit", className: "job-start", textContent: "Run the experiment" });
    return make("form", { className: "job-form" }, budgets,
      make("label", { className: "job-seed" }, "Seed: decides every random number of the run", this.seed),
      make("p", {}, start), make("p", { className: "job-same" }, "The same in a terminal: ", this.command));
  }

  results() {
    return make("a", { href: location.pathname, textContent: "Show its figures and claims on this page" });
  }

  settings() {
    return { step: this.step, budget: this.budget, seed: this.seed.valueAsNumber };
  }

  isOurs({ kind, experiment }) {
    return kind === "step" && experiment.step === this.step;
  }

  describe({ budget, seed }) {
    return `${budget} budget, seed ${seed}`;
  }

  get budget() {
    return this.form.elements["job-budget"].value;
  }

  showTimes(times) {
    for (const { budget, seconds } of times) {
      this.form.querySelector(`.job-time-${budget}`).textContent = seconds === null ? "" : ` (about ${inWords(seconds)})`;
    }
  }

  showCommand() {
    const seed = this.seed.valueAsNumber || 0;
    this.command.textContent = ["mechscope run", this.step, this.budget === "full" ? "--budget full" : "",
      seed ? `--seed ${seed}` : ""].filter(Boolean).join(" ");
  }
}

for (const element of document.querySelectorAll("[data-job]")) {
  element.jobPanel = new StepPanel(element);
}
