// A panel that starts a job of one kind and follows it: status, progress, cancel, run again. The job belongs to the
// server: it goes on when this page is closed, and every page that is open shows it. A panel of one kind adds its form.

import { make } from "./elements.js";

const RETRY_MS = 2000; // how soon to ask again if the server does not answer
const IDLE_MS = 4000; // how often to look whether another page has started something
const NO_ANSWER = "The server does not answer. If it was stopped, start it again with: mechscope serve";
const STATES = {
  queued: "Waiting", running: "Running", finished: "Finished",
  failed: "Not finished", cancelled: "Cancelled", interrupted: "Interrupted",
};

export function inWords(seconds) {
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export class JobPanel {
  // element: where the panel goes; start: the endpoint that starts such a job; api: address of the HTTP interface, ending
  // with a slash. A panel of one kind has these methods:
  //   buildForm() makes the form, with a button of the class job-start
  //   settings() what the form asks for
  //   isOurs(job) whether a job of the server belongs to this page
  //   describe(experiment) what a job runs, in words
  //   results() an element that leads to the results of a finished job; finished(job) is called with one
  constructor(element, start, api) {
    Object.assign(this, { element, start, api, job: null, stream: null, timer: null });
    this.build();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.rest() : this.look()));
    setInterval(() => this.showTime(), 1000);
    this.look();
  }

  build() {
    this.form = this.buildForm();
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(this.settings());
    });
    this.problem = make("p", { className: "problem", hidden: true });
    this.problem.setAttribute("role", "alert");
    this.status = make("p", { className: "job-status" });
    this.status.setAttribute("role", "status");
    this.bar = make("progress", { max: 1 });
    this.activity = make("p", { className: "job-activity" });
    this.time = make("p", { className: "job-clock" });
    this.cancel = make("button", { type: "button", textContent: "Cancel" });
    this.cancel.addEventListener("click", () => {
      // A process may need some seconds to end.
      this.cancel.textContent = "Stopping …";
      this.post(`jobs/${this.job.id}/cancel`, {});
    });
    this.again = make("button", { type: "button" });
    this.again.addEventListener("click", () => this.submit(this.job.experiment));
    this.result = this.results();
    this.output = make("pre", { className: "job-output", tabIndex: 0 });
    this.output.setAttribute("aria-label", "Output of the run");
    this.log = make("details", {}, make("summary", { textContent: "Output" }), this.output);
    this.view = make("div", { className: "job-view", hidden: true }, this.bar, this.activity, this.time,
      make("p", { className: "job-buttons" }, this.cancel, this.again, this.result), this.log);
    this.element.replaceChildren(this.form, this.problem, this.status, this.view);
  }

  get isActive() {
    return this.job !== null && (this.job.state === "queued" || this.job.state === "running");
  }

  // --- the server ---

  async ask(path, options) {
    let answer;
    try {
      answer = await fetch(this.api + path, options);
    } catch {
      throw new Error(NO_ANSWER);
    }
    const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json");
    const content = isJson ? await answer.json() : { problem: await answer.text() };
    if (!answer.ok) throw new Error(content.problem);
    return content;
  }

  async post(path, content) {
    const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(content) };
    try {
      const job = await this.ask(path, options);
      this.problem.hidden = true;
      this.take(job);
    } catch (error) {
      this.complain(error);
    }
  }

  submit(experiment) {
    if (!this.form.reportValidity()) return undefined;
    return this.post(this.start, experiment);
  }

  // Look for the step's job: the one that is not over, or the latest one.
  async look() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    let wait = IDLE_MS;
    try {
      const { jobs } = await this.ask("jobs");
      if (this.problem.dataset.kind === "server") this.problem.hidden = true;
      const ours = jobs.filter((job) => this.isOurs(job));
      const job = ours.find((each) => each.state === "running") ?? ours.find((each) => each.state === "queued") ?? ours.at(-1);
      if (job !== undefined && (job.id !== this.job?.id || job.state !== this.job.state)) {
        this.take(await this.ask(`jobs/${job.id}`));
      }
      if (this.isActive) return this.follow();
    } catch (error) {
      this.complain(error);
      wait = RETRY_MS;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), wait);
    return undefined;
  }

  take(job) {
    this.job = job;
    this.show();
    if (this.isActive) this.follow();
  }

  // Follow the job by its events. Where a stream is refused or breaks, ask for the job instead.
  follow() {
    if (this.stream !== null && this.following === this.job.id) return;
    this.rest();
    if (document.hidden) return;
    this.following = this.job.id;
    this.stream = new EventSource(`${this.api}jobs/${this.job.id}/events`);
    this.stream.addEventListener("message", ({ data }) => {
      this.problem.hidden = true;
      this.job = JSON.parse(data);
      this.show();
    });
    const stop = () => {
      this.rest();
      this.timer = setTimeout(() => this.look(), this.isActive ? RETRY_MS : IDLE_MS);
    };
    this.stream.addEventListener("end", stop);
    this.stream.addEventListener("error", () => {
      // The browser connects again by itself, unless the server refused.
      if (this.stream?.readyState === EventSource.CLOSED) stop();
      else this.complain(new Error(NO_ANSWER));
    });
  }

  rest() {
    clearTimeout(this.timer);
    this.stream?.close();
    this.stream = null;
  }

  // --- what is shown ---

  complain(error) {
    this.problem.dataset.kind = error.message === NO_ANSWER ? "server" : "request";
    if (this.problem.textContent !== error.message) this.problem.textContent = error.message;
    this.problem.hidden = false;
  }

  show() {
    const { job } = this;
    const focused = document.activeElement;
    this.view.hidden = false;
    const words = {
      queued: ["It begins in a moment.", "It begins after another run."][job.before] ?? `It begins after ${job.before} other runs.`,
      running: "You can close this page: the run goes on.",
      finished: job.begun && job.ended ? `It took ${inWords(job.ended - job.begun)}.` : "",
      cancelled: job.keeps_parts ? "Its finished parts are kept." : "",
    }[job.state] ?? job.problem;
    this.say(this.status, `${STATES[job.state]} (${this.describe(job.experiment)}). ${words}`.trim());
    const { activity, done, total, finished_parts: parts, seconds_left: left } = job.progress;
    this.bar.hidden = this.activity.hidden = this.time.hidden = this.cancel.hidden = !this.isActive;
    this.bar.setAttribute("aria-label", activity || "Progress");
    if (total > 0 && job.state === "running") this.bar.value = Math.min(1, done / total);
    else this.bar.removeAttribute("value"); // busy, for an unknown time
    const counted = total > 0 ? `: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
    const rest = left === null ? "" : `, ${inWords(left)} left`;
    const kept = parts ? ` · ${parts} finished ${parts === 1 ? "part" : "parts"}` : "";
    this.say(this.activity, job.state === "queued" ? "" : `${activity || "Starting"}${counted}${rest}${kept}`);
    if (!this.isActive) this.cancel.textContent = "Cancel";
    this.again.hidden = this.isActive;
    this.again.textContent = job.state === "finished" ? "Run it again" : job.state === "failed" ? "Try again" : job.keeps_parts ? "Resume" : "Run it again";
    this.result.hidden = job.state !== "finished";
    this.log.hidden = job.output.length === 0;
    this.say(this.output, job.output.join("\n"));
    this.element.dataset.state = job.state;
    if (job.state === "finished") this.finished(job);
    this.showTime();
    // The keyboard stays where it was: on the button that took the place of the other one.
    if (focused === this.cancel && this.cancel.hidden) this.again.focus();
    if (focused === this.again && this.again.hidden) this.cancel.focus();
  }

  showTime() {
    if (this.job?.state !== "running" || this.job.begun === null) return this.say(this.time, "");
    const expected = this.job.expected_seconds;
    const passed = Math.max(0, Date.now() / 1000 - this.job.begun);
    return this.say(this.time, `${inWords(passed)}${expected === null ? " so far" : ` of about ${inWords(expected)}`}`);
  }

  finished() {}

  say(element, text) {
    // Only if it has changed: a screen reader would read it again.
    if (element.textContent !== text) element.textContent = text;
  }
}

export function apiAddress() {
  return `${document.querySelector("script[data-root]").dataset.root}api/`;
}
