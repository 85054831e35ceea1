// Which labels of a store are listed, and in which order: a view, which stands in the address of the page.

export const VERDICTS = ["holds", "holds in part", "does not hold", "cannot tell", "not tested"];

const verdictOf = ({ verdict }) => verdict || "not tested";
const score = (wanted) => ({ scores }) => scores.find(({ name }) => name === wanted)?.value ?? null;

/** Orders by their names in the address: how the page calls them, what is compared, and whether the largest comes first. */
export const ORDERS = {
  newest: { words: "newest first", key: ({ created, id }) => [created, id], isDescending: true },
  tested: { words: "last tested first", key: ({ scored, id }) => (scored ? [scored, id] : null), isDescending: true },
  unit: { words: "by unit", key: ({ site, unit, id }) => [site, unit, id] },
  verdict: { words: "best verdict first", key: (label) => [VERDICTS.indexOf(verdictOf(label)), label.id] },
  precision: { words: "highest precision first", key: score("precision"), isDescending: true },
  recall: { words: "highest recall first", key: score("recall"), isDescending: true },
  AUC: { words: "highest AUC first", key: score("AUC"), isDescending: true },
  near: { words: "highest AUC on near misses first", key: score("AUC on near misses"), isDescending: true },
};

const DEFAULTS = { verdict: "", site: "", words: "", sort: "newest", reverse: false };

/** The model and the view in what is behind # in the address: MODEL?verdict=holds&sort=AUC. */
export function readAddress(hash) {
  const [model, query = ""] = hash.split(/\?(.*)/s);
  const asked = new URLSearchParams(query);
  const [verdict, sort] = [asked.get("verdict"), asked.get("sort")];
  let name = model;
  try {
    name = decodeURIComponent(model);
  } catch {
    // a % that begins no letter
  }
  return {
    model: name,
    view: {
      verdict: VERDICTS.includes(verdict) ? verdict : "", site: asked.get("site") ?? "", words: asked.get("words") ?? "",
      sort: sort !== null && Object.hasOwn(ORDERS, sort) ? sort : DEFAULTS.sort, reverse: asked.get("reverse") === "yes",
    },
  };
}

/** The same the other way round. */
export function writeAddress(model, view) {
  const asked = Object.entries(view).filter(([name, value]) => value !== DEFAULTS[name]).map(([name, value]) => [name, value === true ? "yes" : value]);
  return `${encodeURI(model)}${asked.length ? `?${new URLSearchParams(asked)}` : ""}`;
}

/** The labels of a view, in its order. Those without what the order compares come last. */
export function selectLabels(labels, { verdict, site, words, sort, reverse }) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (label) => (!verdict || verdictOf(label) === verdict) && (!site || label.site === site)
    && wanted.every((word) => `${label.text}\n${label.rule}\n${label.site}/${label.unit}`.toLowerCase().includes(word));
  const { key, isDescending = false } = ORDERS[sort];
  const sign = isDescending === reverse ? 1 : -1;
  return labels.filter(fits).map((label) => ({ label, key: key(label) }))
    .sort((a, b) => (a.key === null) - (b.key === null) || sign * compare(a.key, b.key) || a.label.id - b.label.id)
    .map(({ label }) => label);
}

function compare(a, b) {
  if (!Array.isArray(a)) return a - b;
  const place = a.findIndex((part, index) => part !== b[index]);
  if (place < 0) return 0;
  return a[place] < b[place] ? -1 : 1;
}
