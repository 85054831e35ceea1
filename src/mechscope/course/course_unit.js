// The page of a unit in the served web lab: what the server finds about the learner's file appears by itself. Without a
// server the page is only read, and this does nothing.
import { make } from "./elements.js";
import { ExercisePanel, printedBox, problemLines, withCode } from "./exercise_panel.js";

const LOOK_MS = 1000; // how often to look for saved files
const IDLE_MS = 3000; // how often if there is no folder yet, or the server does not answer
const NO_ANSWER = "The server does not answer. If it was stopped, start it again with: mechscope serve";

class UnitPage {
  // element: everything of the unit; api: address of the HTTP interface, ending with a slash.
  constructor(element, api) {
    Object.assign(this, { element, api, unit: element.dataset.courseUnit, timer: null, begin: "", drawnWith: "", isDrawing: false });
    this.panels = new Map([...element.querySelectorAll("[data-exercise]")].map((each) => {
      return [each.dataset.exercise, new ExercisePanel(each, (path, content) => this.ask(path, content))];
    }));
    this.drawButton = this.part("draw");
    this.drawButton?.addEventListener("click", () => this.draw());
    document.addEventListener("visibilitychange", () => this.look());
    this.look();
  }

  part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }

  async post(path, content) {
    let answer;
    try {
      const headers = { "content-type": "application/json" };
      answer = await fetch(this.api + path, { method: "POST", headers, body: JSON.stringify(content) });
    } catch {
      throw new Error(NO_ANSWER);
    }
    const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json");
    const found = isJson ? await answer.json() : { problem: await answer.text() };
    if (!answer.ok) throw new Error(found.problem);
    return found;
  }

  // Ask for something that is answered with the unit.
  async ask(path, content) {
    try {
      this.show(await this.post(path, content));
      this.complain("");
    } catch (error) {
      this.complain(error.message);
      return false;
    }
    return true;
  }

  async look() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    const isAnswered = await this.ask(`course/units/${this.unit}/look`, {});
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), isAnswered && !this.part("file").dataset.missing ? LOOK_MS : IDLE_MS);
  }

  complain(words) {
    const box = this.part("problem");
    if (box.textContent !== words) box.textContent = words;
    box.hidden = !words;
  }

  say(element, words) {
    if (element.textContent !== words) element.textContent = words;
  }

  show({ file, begin, is_watched: isWatched, finished, exercises }) {
    if (this.begin !== begin) {
      this.begin = begin;
      this.part("begin").replaceChildren(...withCode(begin));
      this.part("begin").hidden = !begin;
    }
    this.part("file").dataset.missing = begin && "yes";
    if (begin) return;
    this.say(this.part("file"), file);
    this.say(this.part("watch"), isWatched
      ? "“mechscope course watch” checks it when you save; the results appear here, too."
      : "While this page is open, it is checked when you save it.");
    for (const face of exercises) this.panels.get(face.exercise)?.show(face);
    const isDone = exercises.every(({ state }) => state === "passed" || state === "skipped");
    this.say(this.part("done"), isDone ? "You have finished this unit. Well done!" : "");
    if (!this.drawButton) return;
    this.drawButton.hidden = finished.length === 0;
    const functions = finished.join(" ");
    if (functions !== this.drawnWith && !exercises.some((each) => each.is_checking)) {
      this.drawnWith = functions;
      if (finished.length) this.draw();
    }
  }

  // Draw the final figure with the functions that have passed.
  async draw() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    this.drawButton.disabled = true;
    const problem = this.part("figure-problem");
    this.say(this.part("functions"), "Drawing with your functions …");
    try {
      this.showFigure(await this.post(`course/units/${this.unit}/figure`, {}));
    } catch (error) {
      problem.hidden = false;
      problem.replaceChildren(make("p", { textContent: error.message }));
      this.say(this.part("functions"), "");
    }
    this.isDrawing = false;
    this.drawButton.disabled = false;
  }

  showFigure(figure) {
    const problem = this.part("figure-problem");
    const isDrawn = figure.status === "drawn";
    problem.hidden = isDrawn && !figure.printed.trim();
    problem.className = `course-result ${isDrawn ? "" : figure.status}`;
    problem.replaceChildren(...(isDrawn ? [printedBox(figure.printed)] : problemLines(figure)));
    this.say(this.part("functions"), isDrawn ? figure.functions : "The figure above is an earlier one.");
    if (!isDrawn) return;
    const place = this.part("figure");
    this.say(this.part("number"), figure.number);
    this.part("number").classList.toggle("missed", !figure.is_reproduced);
    place.querySelector("figcaption").textContent = figure.caption;
    place.querySelector(".plot-data").textContent = figure.plot;
    place.querySelector(".numbers-table")?.remove();
    place.querySelector(".figure-numbers").open = false;
    // The script of figures draws everything that it has drawn again when the theme changes.
    dispatchEvent(new Event("mechscope-theme"));
  }
}

const api = `${document.querySelector("script[data-root]").dataset.root}api/`;
for (const element of document.querySelectorAll("[data-course-unit]")) element.unitPage = new UnitPage(element, api);
