// The filters of the list of open problems. What is chosen stands in the address, so that a link shows others the same.

const CHOICES = ["rating", "area", "status", "compute"];

const plain = (text) => text.toLowerCase().replace(/[-–_\s]+/g, " ").trim();

// The conditions in the fragment of an address, such as "#rating=A&words=induction heads". Others are ignored.
export function conditionsIn(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  return Object.fromEntries([...CHOICES, "words"].map((name) => [name, given.get(name) ?? ""]));
}

// The fragment for conditions; empty if there are none.
export function fragmentFor(conditions) {
  const given = Object.entries(conditions).filter(([, value]) => value);
  return given.length ? `#${new URLSearchParams(given)}` : "";
}

// Whether a problem (an object with the choices and `text`) fulfils all conditions.
export function fits(problem, conditions) {
  return (
    CHOICES.every((name) => !conditions[name] || problem[name] === conditions[name]) &&
    plain(conditions.words).split(" ").every((word) => problem.text.includes(word))
  );
}

function start(form) {
  const problems = [...document.querySelectorAll(".problem-area li")].map((element) => {
    const { rating, area, status, compute, words } = element.dataset;
    return { element, rating, area, status, compute, text: plain(`${element.textContent} ${words}`) };
  });
  const [count, clear] = [form.querySelector("[data-part=count]"), form.querySelector("[data-part=clear]")];
  const fields = Object.fromEntries([...CHOICES, "words"].map((name) => [name, form.elements[name]]));

  const show = () => {
    const conditions = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value.trim()]));
    const found = problems.filter((problem) => fits(problem, conditions));
    for (const problem of problems) problem.element.hidden = !found.includes(problem);
    for (const section of document.querySelectorAll(".problem-area")) {
      section.hidden = !section.querySelector("li:not([hidden])");
    }
    const isAll = !fragmentFor(conditions);
    const number = found.length === 1 ? "1 problem" : `${found.length} problems`;
    count.textContent = found.length ? number : "No problem fits all of this; leave something out.";
    clear.hidden = isAll;
    return conditions;
  };
  const read = () => {
    for (const [name, value] of Object.entries(conditionsIn(location.hash))) {
      fields[name].value = value;
      if (fields[name].value !== value) fields[name].value = ""; // a choice that does not exist
    }
    show();
  };
  const changed = () => {
    history.replaceState(null, "", fragmentFor(show()) || "#");
  };
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    changed();
    fields.rating.focus(); // the button that had the focus is gone
  }));
  window.addEventListener("hashchange", read);
  form.hidden = false;
  read();
}

const form = typeof document === "undefined" ? null : document.querySelector(".problem-filters");
if (form) start(form);
