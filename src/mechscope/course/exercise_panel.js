// One exercise of a unit's page: how far the learner is with it, and what the last check found.

import { make } from "./elements.js";

const STATES = { passed: "Passed", skipped: "Skipped", tried: "Not right yet", new: "" };
const TITLES = { failed: "Not right yet", broken: "It raises an error", stopped: "It was stopped", "not-started": "Not begun yet" };

// A text in which what stands between backticks is code.
export function withCode(text) {
  return text.split("`").map((piece, place) => (place % 2 ? make("code", { textContent: piece }) : piece)).filter((piece) => piece !== "");
}

// What is wrong with the learner's code, as the terminal says it.
export function problemLines({ problem, diagnosis, line, source, call = "", printed }) {
  const lines = [make("p", {}, ...withCode(problem))];
  if (diagnosis) lines.push(make("p", {}, make("b", {}, ...withCode(diagnosis))));
  if (line) lines.push(make("p", {}, `Line ${line}: `, make("code", { textContent: source })));
  if (call) lines.push(make("p", { className: "course-note" }, "called as ", make("code", { textContent: call })));
  if (printed.trim()) lines.push(printedBox(printed));
  return lines;
}

export function printedBox(printed) {
  const text = make("pre", { tabIndex: 0 }, make("code", { textContent: printed.trimEnd() }));
  text.setAttribute("aria-label", "What your code printed");
  return make("details", {}, make("summary", { textContent: "Your code printed" }), text);
}

export class ExercisePanel {
  // element: the exercise's section; ask: sends a request to the HTTP interface and shows the unit that it answers.
  constructor(element, ask) {
    Object.assign(this, { element, ask, id: element.dataset.exercise, shown: "" });
    const part = (name) => element.querySelector(`[data-part="${name}"]`);
    [this.chip, this.result, this.button] = ["state", "result", "check"].map(part);
    [this.untried, this.solution] = ["untried", "solution"].map(part);
    this.button.addEventListener("click", () => this.ask(`course/exercises/${this.id}/check`, {}));
    for (const hint of element.querySelectorAll("[data-hint]")) {
      // Only once, and not for the hints inside, whose events come by as well.
      hint.addEventListener("toggle", (event) => {
        if (event.target !== hint || !hint.open || hint.dataset.told) return;
        hint.dataset.told = "yes";
        this.ask(`course/exercises/${this.id}/hint`, { level: Number(hint.dataset.hint) });
      });
    }
  }

  // face: what the server says about the exercise.
  show(face) {
    const text = JSON.stringify(face);
    if (text === this.shown) return; // a screen reader would read it again
    this.shown = text;
    this.button.hidden = false;
    this.button.disabled = face.is_checking;
    this.chip.hidden = !STATES[face.state];
    this.chip.textContent = STATES[face.state];
    this.chip.classList.toggle("pass", face.state === "passed");
    this.chip.classList.toggle("fail", face.state === "tried");
    this.untried.hidden = face.attempts > 0;
    this.element.dataset.state = face.state;
    const lines = this.lines(face);
    this.result.hidden = lines.length === 0;
    this.result.className = `course-result ${face.is_checking ? "" : face.result?.status ?? ""}`;
    this.result.replaceChildren(...lines);
  }

  lines({ is_checking: isChecking, is_changed: isChanged, fault, result }) {
    if (isChecking) return [make("p", { textContent: "Checking …" })];
    if (fault) return [make("p", { textContent: fault })];
    if (result === null) return [];
    const seed = `Seed ${result.seed}, ${result.seconds.toFixed(1)} s.`;
    const note = isChanged ? [make("p", { className: "course-note", textContent: "Your function has changed since this check." })] : [];
    if (result.status === "passed") {
      const printed = result.printed.trim() ? [printedBox(result.printed)] : [];
      const found = (result.notes ?? []).map((words) => make("p", {}, ...withCode(words)));
      return [make("p", {}, make("b", { textContent: "✓ Passed. " }), make("span", { className: "course-note", textContent: seed })),
        ...found, ...printed, ...note];
    }
    const again = make("p", { className: "course-note" }, "The same inputs again: ",
      make("code", { textContent: `mechscope course check ${result.exercise} --seed ${result.seed}` }));
    return [make("p", { className: "course-verdict", textContent: `✗ ${TITLES[result.status]}` }), ...problemLines(result), again, ...note];
  }
}
