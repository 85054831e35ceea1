// The page of the models on this machine: a list to choose from, and the microscope for the chosen one.

import { Microscope } from "./microscope.js";
import { RemoteModel, ask } from "./remote_model.js";
import { keepView, readView } from "./view_link.js";
import { asSentence } from "./wording.js";

const element = document.querySelector("[data-machine-models]"); // missing from the static site
const find = (name) => element.querySelector(`.machine-${name}`);
if (element) await start();

async function start() {
  try {
    const { models } = await ask("models");
    find("list").replaceChildren(...models.map(line));
    element.removeAttribute("aria-busy");
    const named = new URLSearchParams(location.hash.slice(1)).get("model");
    if (named) await open(named);
  } catch (error) {
    say(asSentence(error.message), true);
    element.removeAttribute("aria-busy");
  }
}

function line({ name, where, megabytes, is_here, is_loaded }) {
  const row = document.createElement("tr");
  const heading = document.createElement("th");
  heading.scope = "row";
  heading.textContent = name;
  const size = megabytes === null ? "" : megabytes < 0.1 ? "less than 0.1 MB" : `${megabytes.toLocaleString("en", { maximumFractionDigits: megabytes < 10 ? 1 : 0 })} MB`;
  row.append(heading);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Open";
  button.setAttribute("aria-label", `Open ${name}`);
  button.addEventListener("click", () => {
    history.replaceState(null, "", `#${new URLSearchParams({ model: name })}`);
    open(name).catch((error) => say(asSentence(error.message), true));
  });
  const action = row.insertCell();
  if (is_here) action.append(button);
  row.insertCell().textContent = size;
  const place = row.insertCell();
  place.className = "machine-where";
  // What stands between backticks is a command.
  (is_loaded ? `in memory; ${where}` : where).split("`").forEach((text, index) => {
    const part = document.createElement(index % 2 ? "code" : "span");
    part.textContent = text;
    place.append(part);
  });
  return row;
}

async function open(name) {
  say(`Loading ${name} … This takes a few seconds per 100 MB the first time.`);
  for (const button of find("list").querySelectorAll("button")) button.disabled = true;
  try {
    const model = await RemoteModel.load(name);
    const before = window.microscope;
    const { prompt, other } = before ? { prompt: before.find("prompt").value, other: before.find("other").value } : element.dataset;
    before?.close();
    const box = document.createElement("div");
    find("microscope").replaceChildren(box);
    window.microscope = new Microscope(box, model, null, { prompt, other, ...readView(model.cfg) });
    keepView(window.microscope, { model: name });
    find("name").textContent = name;
    find("name").hidden = false;
    await window.microscope.ready;
    say("");
  } finally {
    for (const button of find("list").querySelectorAll("button")) button.disabled = false;
  }
}

function say(words, isProblem = false) {
  const box = find("words");
  box.textContent = words;
  box.className = `machine-words ${isProblem ? "problem" : "missing"}`;
  box.hidden = !words;
}
