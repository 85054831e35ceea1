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

/** What is after # in the page's address, as text. */
export function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1); // a % that begins no letter
  }
}

/** Link from one page of the neuroscope to a unit's page. */
export function unitLink(address) {
  return `../unit/index.html#${encodeURI(addressOf(address))}`;
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

  /** Units whose contexts or labels have these words: [{unit, why}]. */
  async search(model, site, words) {
    return (await ask(`neuroscope/search?${new URLSearchParams({ model, site, words })}`)).found;
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
    if (unit >= units) throw new Error(`${site} of ${model} has ${units} units, the last is ${units - 1}; there is no ${unit}.`);
    const all = await this.batch(model, site, Math.floor(unit / batch));
    return all[unit % batch];
  }

  batch(model, site, index) {
    const path = `${FOLDER}/${model}/${site}/units-${index}.json.gz`;
    return once(this.batches, path, () => readPacked(path));
  }

  async search(model, site, words) {
    const { batch, units } = await this.table(model, site);
    const wanted = words.toLowerCase();
    const batches = await Promise.all(Array.from({ length: Math.ceil(units / batch) }, (_, index) => this.batch(model, site, index)));
    return batches.flat().flatMap((page) => {
      const why = whereItIs(page, wanted);
      return why === null ? [] : [{ unit: page.unit, why }];
    });
  }
}

/** Where a unit's page has some words: a label, or the text of a context around them; null if nowhere. */
export function whereItIs({ labels, contexts }, wanted) {
  const label = labels.find(({ text }) => text.toLowerCase().includes(wanted));
  if (label) return `label: ${label.text}`;
  for (const { kind, tokens } of contexts) {
    const text = tokens.join("");
    const at = text.toLowerCase().indexOf(wanted);
    if (kind === "top" && at >= 0) return text.slice(Math.max(0, at - 20), at + wanted.length + 20);
  }
  return null;
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
