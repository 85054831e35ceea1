// Where the neuroscope's pages get what they show: from the server, or in a static site from files that say the same.

import { readBytes, readJson } from "./files.js";
import { ask } from "./remote_model.js";

const FOLDER = "files/neuroscope";

/** A unit's address, as it stands in the address of its page after #: MODEL/SITE/UNIT. Null if it is none. */
export function parseAddress(text) {
  const [, model, site, unit] = /^(.+)\/([^/]+)\/(\d+)$/.exec(text) ?? [];
  return model === undefined ? null : { model, site, unit: Number(unit) };
}

export function addressOf({ model, site, unit }) {
  return `${model}/${site}/${unit}`;
}

/** The unit that a reader names instead of words to look for: 5, unit 5, mlp0/5 or mini-gelu-1l/mlp0/5. */
export function unitNamed(words, { model, sites }, here) {
  const text = words.startsWith(`${model}/`) ? words.slice(model.length + 1) : words;
  const [, place, number] = /^(?:([^\s/]+)\/|(?:unit|neuron|head|latent|feature) +)?(\d+)$/i.exec(text) ?? [];
  const site = place === undefined ? here : sites.find(({ name }) => name === place);
  return number !== undefined && site && Number(number) < site.units ? { site: site.name, unit: Number(number) } : null;
}

/** What the page's address names after #, without what the reader has chosen there (see `choices`). */
export function fragment() {
  const [name] = location.hash.slice(1).split("?", 1);
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // a % that begins no letter
  }
}

/** What the reader has chosen, after ? in the part of the page's address after #. */
export function choices() {
  const at = location.hash.indexOf("?");
  return new URLSearchParams(at < 0 ? "" : location.hash.slice(at + 1));
}

/** The part of an address after #, for a name and what the reader has chosen; empty choices are left out. */
export function hashOf(name, chosen = {}) {
  const view = `${new URLSearchParams(Object.entries(chosen).filter(([, value]) => value))}`;
  return `#${encodeURI(name).replaceAll("?", "%3F")}${view && `?${view}`}`;
}

/** Link from the home of the neuroscope to a unit's page. */
export function unitLink(address) {
  return `unit/index.html${unitHash(address)}`;
}

/** Link from one unit's page to another's. */
export function unitHash(address) {
  return hashOf(addressOf(address));
}

export function unitSource(isServed) {
  return isServed ? new ServedUnits() : new StaticUnits();
}

class ServedUnits {
  constructor() {
    this.tables = new Map();
  }

  /** The stores: {stores, problems}. */
  stores() {
    return ask("neuroscope/stores");
  }

  /** Numbers and words about all units of a site (see neuroscope/site_table.py). */
  table(model, site) {
    return once(this.tables, `${model}/${site}`, async () =>
      JSON.parse(new TextDecoder().decode(await ask(`neuroscope/table?${new URLSearchParams({ model, site })}`))));
  }

  /** Everything about a unit. */
  unit({ model, site, unit }) {
    return ask(`neuroscope/unit?${new URLSearchParams({ model, site, unit })}`);
  }

  /** All labels of a store. */
  async labels({ model }) {
    return (await ask(`neuroscope/labels?${new URLSearchParams({ model })}`)).labels;
  }

  /** Units of a store whose labels, tokens or texts have these words: {found: [{site, unit, why}], more}. */
  search({ model }, words) {
    return ask(`neuroscope/search?${new URLSearchParams({ model, words })}`);
  }
}

class StaticUnits {
  constructor() {
    [this.tables, this.batches] = [new Map(), new Map()];
  }

  stores() {
    return readJson(`${FOLDER}/stores.json`);
  }

  table(model, site) {
    return once(this.tables, `${model}/${site}`, () => readPacked(`${FOLDER}/${model}/${site}/table.json.gz`));
  }

  async unit({ model, site, unit }) {
    const { batch, units } = await this.table(model, site);
    if (unit >= units) throw new Error(`there is no unit ${unit}: ${site} of ${model} has units 0 to ${units - 1}.`);
    const all = await this.batch(model, site, Math.floor(unit / batch));
    return all[unit % batch];
  }

  batch(model, site, index) {
    const path = `${FOLDER}/${model}/${site}/units-${index}.json.gz`;
    return once(this.batches, path, () => readPacked(path));
  }

  async labels({ model }) {
    return (await readJson(`${FOLDER}/${model}/labels.json`)).labels;
  }

  /** The same as the server's search (neuroscope/site_search.py), by letters instead of words. */
  async search({ model, sites }, words) {
    const pages = await Promise.all(sites.map(({ name }) => this.all(model, name)));
    const found = pages.flat().map((page) => ({ site: page.site, unit: page.unit, ...whereItIs(page, words) }))
      .filter(({ rank }) => rank > 0).sort((a, b) => b.rank - a.rank || a.unit - b.unit);
    return { found, more: false };
  }

  async all(model, site) {
    const { batch, units } = await this.table(model, site);
    const batches = await Promise.all(Array.from({ length: Math.ceil(units / batch) }, (_, index) => this.batch(model, site, index)));
    return batches.flat();
  }
}

const SHOWN = 90; // characters of a text

/** Where a unit's page has some words, labels first, then tokens, then texts: {rank, why}; rank 0 is nowhere. */
export function whereItIs({ labels, contexts }, words) {
  const wanted = words.toLowerCase();
  const label = labels.find(({ text }) => text.toLowerCase().includes(wanted));
  if (label) return { rank: Infinity, why: `label: ${label.text}` };
  const tops = contexts.filter(({ kind }) => kind === "top");
  const kept = tops.filter(({ tokens, focus }) => tokens[focus] === words || tokens[focus].trim() === words).length;
  if (kept) return { rank: 1000 + kept, why: `${kept} of its ${tops.length} strongest texts were kept for this token` };
  const texts = tops.map(({ tokens }) => tokens.join("")).filter((text) => text.toLowerCase().includes(wanted));
  if (!texts.length) return { rank: 0, why: "" };
  const at = Math.max(0, texts[0].toLowerCase().indexOf(wanted) - SHOWN / 3);
  return { rank: texts.length, why: texts[0].slice(at, at + SHOWN) };
}

function once(kept, key, read) {
  if (!kept.has(key)) {
    const reading = read();
    reading.catch(() => kept.delete(key)); // so that it can be tried again
    kept.set(key, reading);
  }
  return kept.get(key);
}

/** A file of gzipped JSON. Some web servers unpack it on the way. */
async function readPacked(path) {
  const bytes = await readBytes(path);
  const [first, second] = new Uint8Array(bytes);
  const isPacked = first === 0x1f && second === 0x8b;
  const plain = isPacked ? await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer() : bytes;
  return JSON.parse(new TextDecoder().decode(plain));
}
