// Turn text into token ids and back, from a `tokenizer.json`: byte-level byte pairs, or whole words.

// GPT-2's split into words, which "ByteLevel" names.
const GPT2_WORDS = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const encoder = new TextEncoder();

/** A tokenizer of one model. Special tokens in the text become single tokens, as in Python. */
export class Tokenizer {
  /**
   * @param {object} file the contents of `tokenizer.json`
   * @param {object} config the contents of `tokenizer_config.json`
   * @throws {Error} for a kind of tokenizer that the browser cannot run
   */
  constructor(file, config = {}) {
    const { model, pre_tokenizer: split } = file;
    this.ids = new Map(Object.entries(model.vocab));
    this.special = new Map(file.added_tokens.map(({ content, id }) => [content, id]));
    for (const [content, id] of this.special) this.ids.set(content, id);
    const longestFirst = [...this.special.keys()].sort((a, b) => b.length - a.length).map(escapeRegExp);
    this.specials = this.special.size ? new RegExp(longestFirst.join("|"), "gu") : null;
    this.tokens = [];
    for (const [token, id] of this.ids) this.tokens[id] = token;
    this.bos = this.ids.get(config.bos_token);
    this.unknown = this.ids.get(model.unk_token);
    if (model.type === "BPE" && split?.type === "ByteLevel" && !split.add_prefix_space) {
      this.words = new RegExp(split.use_regex === false ? "[^]+" : GPT2_WORDS, "gu");
      this.ranks = new Map(model.merges.map((pair, rank) => [asKey(pair), rank]));
    } else if (model.type === "WordLevel" && split?.type === "Split") {
      this.words = new RegExp(split.pattern.Regex, "gu");
      this.ranks = null;
    } else {
      throw new Error(`the browser cannot run a ${model.type} tokenizer that is split by ${split?.type}.`);
    }
  }

  /** The token ids of a text, without a BOS token in front. */
  encode(text) {
    const ids = [];
    let start = 0;
    for (const { 0: content, index } of this.specials ? text.matchAll(this.specials) : []) {
      this.encodePlain(text.slice(start, index), ids);
      ids.push(this.special.get(content));
      start = index + content.length;
    }
    this.encodePlain(text.slice(start), ids);
    return ids;
  }

  encodePlain(text, ids) {
    for (const [word] of text.matchAll(this.words)) {
      if (!this.ranks) {
        ids.push(this.ids.get(word) ?? this.unknown);
        continue;
      }
      for (const piece of this.merge([...encoder.encode(word)].map((byte) => BYTE_LETTERS[byte]))) {
        ids.push(this.ids.get(piece) ?? this.unknown);
      }
    }
  }

  /**
   * Join the pair of the lowest rank, and the first of several, until no pair has one. A model may split no words, so that
   * the pieces of a whole text come here: each step must not look at all of them.
   */
  merge(pieces) {
    const joined = [...pieces]; // null where a piece was joined to the one before it
    const before = pieces.map((_, place) => place - 1);
    const after = pieces.map((_, place) => place + 1);
    const pairs = new LowestFirst();
    const consider = (left) => {
      const right = after[left];
      const rank = left >= 0 && right < joined.length ? this.ranks.get(`${joined[left]} ${joined[right]}`) : undefined;
      if (rank !== undefined) pairs.add({ rank, left, right, pair: joined[left].length + joined[right].length });
    };
    for (let left = 0; left + 1 < pieces.length; left++) consider(left);
    for (let best = pairs.take(); best; best = pairs.take()) {
      const { left, right, pair } = best;
      const isStale = joined[left] === null || joined[right] === null || after[left] !== right || joined[left].length + joined[right].length !== pair;
      if (isStale) continue;
      joined[left] += joined[right];
      joined[right] = null;
      after[left] = after[right];
      if (after[left] < joined.length) before[after[left]] = left;
      consider(before[left]);
      consider(left);
    }
    return joined.filter((piece) => piece !== null);
  }

  /** The words of a text that the vocabulary lacks, each once. */
  unknownWords(text) {
    if (this.ranks) return [];
    const words = [...text.matchAll(this.words)].map(([word]) => word);
    return [...new Set(words.filter((word) => !this.ids.has(word)))];
  }

  /** The text of token ids. Bytes that are not a whole character become �. */
  decode(ids) {
    if (!this.ranks) return ids.map((id) => this.tokens[id]).join("");
    let text = "";
    let bytes = [];
    const flush = () => {
      text += new TextDecoder().decode(new Uint8Array(bytes));
      bytes = [];
    };
    for (const id of ids) {
      const token = this.tokens[id];
      if (this.special.has(token)) {
        flush();
        text += token;
      } else {
        for (const letter of token) bytes.push(LETTER_BYTES.get(letter));
      }
    }
    flush();
    return text;
  }

  /** Each token by itself. */
  strings(ids) {
    return ids.map((id) => this.decode([id]));
  }

  /** Whether a token is a part of a character only. */
  isPartial(id) {
    return Boolean(this.ranks) && !this.special.has(this.tokens[id]) && this.decode([id]).includes("\ufffd") && !isText(this.bytes(id));
  }

  /** A token by itself; one that is only a part of a character by its bytes, as in <0xF0>. */
  label(id) {
    if (!this.isPartial(id)) return this.decode([id]);
    const hex = (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
    return this.bytes(id).map((byte) => (byte < 128 ? String.fromCharCode(byte) : hex(byte))).join("");
  }

  bytes(id) {
    return [...this.tokens[id]].map((letter) => LETTER_BYTES.get(letter));
  }

  /** The most characters that a token can stand for. */
  get longest() {
    return this.ranks ? Math.max(...this.tokens.map((token) => token.length)) : Infinity;
  }
}

/** A binary heap of pairs: the lowest rank comes first, and then the leftmost. */
class LowestFirst {
  constructor() {
    this.pairs = [];
  }

  add(pair) {
    const { pairs } = this;
    let at = pairs.push(pair) - 1;
    while (at > 0 && isBefore(pairs[at], pairs[(at - 1) >> 1])) at = this.swap(at, (at - 1) >> 1);
  }

  take() {
    const { pairs } = this;
    const [first, last] = [pairs[0], pairs.pop()];
    if (!pairs.length) return first;
    pairs[0] = last;
    for (let at = 0; ;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const lower = right < pairs.length && isBefore(pairs[right], pairs[left]) ? right : left;
      if (lower >= pairs.length || !isBefore(pairs[lower], pairs[at])) return first;
      at = this.swap(at, lower);
    }
  }

  swap(one, other) {
    [this.pairs[one], this.pairs[other]] = [this.pairs[other], this.pairs[one]];
    return other;
  }
}

function isBefore(one, other) {
  return one.rank < other.rank || (one.rank === other.rank && one.left < other.left);
}

function isText(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes));
    return true;
  } catch {
    return false;
  }
}

function asKey(pair) {
  return typeof pair === "string" ? pair : pair.join(" ");
}

function escapeRegExp(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

// Byte-level vocabularies write every byte as a visible letter: printable bytes as themselves, others from U+0100 on.
const BYTE_LETTERS = (() => {
  const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();
const LETTER_BYTES = new Map(BYTE_LETTERS.map((letter, byte) => [letter, byte]));
