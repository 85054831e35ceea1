// The search box of the glossary: show the entries whose name, other names or line have every word that was typed, or,
// if there are none, the entries whose name is spelt most alike.

const ALIKE = 0.4; // the share of letter pairs that two names have in common to be shown as alike

const plain = (text) => text.toLowerCase().replace(/[-–_\s]+/g, " ").trim();

// The pairs of neighbouring letters of a text.
function pairs(text) {
  return new Set([...text].slice(1).map((letter, place) => text[place] + letter));
}

// How alike two texts are, from 0 to 1 (Dice's coefficient of their letter pairs).
export function likeness(one, other) {
  const [first, second] = [pairs(one), pairs(other)];
  const common = [...first].filter((pair) => second.has(pair)).length;
  return first.size + second.size ? (2 * common) / (first.size + second.size) : 0;
}

// entries: objects with `names` and `text`, both plain. Which of them a query shows, and whether only by likeness.
export function matching(query, entries) {
  const wanted = plain(query);
  const words = wanted.split(" ");
  const found = entries.filter((entry) => words.every((word) => entry.text.includes(word)));
  if (found.length) return { found, isGuess: false };
  const scored = entries.map((entry) => [Math.max(...entry.names.map((name) => likeness(wanted, name))), entry]);
  const alike = scored.filter(([score]) => score >= ALIKE).sort((one, other) => other[0] - one[0]);
  return { found: alike.slice(0, 5).map(([, entry]) => entry), isGuess: true };
}

function start(search) {
  const entries = [...document.querySelectorAll(".glossary-section li")].map((element) => {
    const names = [element.querySelector("a").textContent, ...(element.dataset.names ?? "").split(";")].map(plain).filter(Boolean);
    return { element, names, text: plain(`${names.join(" ")} ${element.textContent}`) };
  });
  const [input, count] = [search.querySelector("input"), search.querySelector("[data-part=count]")];
  const sections = document.querySelector("[data-part=sections]");
  const update = () => {
    const isEmpty = !plain(input.value);
    const { found, isGuess } = isEmpty ? { found: entries, isGuess: false } : matching(input.value, entries);
    const shown = new Set(found);
    for (const entry of entries) entry.element.hidden = !shown.has(entry);
    for (const section of document.querySelectorAll(".glossary-section")) {
      section.hidden = !section.querySelector("li:not([hidden])");
    }
    sections.hidden = !isEmpty;
    const number = found.length === 1 ? "1 entry" : `${found.length} entries`;
    if (isEmpty) count.textContent = "";
    else if (!isGuess) count.textContent = number;
    else count.textContent = found.length ? `Nothing has these words. ${number} with a similar name:` : "Nothing has these words.";
  };
  const read = () => {
    // What was typed stands behind #, so that the way back from an entry loses nothing; a link may ask with ?q=.
    const [kept, asked] = [location.hash.slice(1), location.search].map((part) => new URLSearchParams(part).get("q"));
    input.value = kept ?? asked ?? input.value;
    update();
  };
  input.addEventListener("input", () => {
    update();
    history.replaceState(null, "", `#${new URLSearchParams({ q: input.value.slice(0, 200) })}`);
  });
  window.addEventListener("hashchange", read);
  search.hidden = false;
  read();
}

const search = typeof document === "undefined" ? null : document.querySelector(".glossary-search");
if (search) start(search);
