// The tokenizer of models without one: a text is their token numbers, separated by spaces.

export class NumberTokenizer {
  /** @param {number} size how many tokens the model knows */
  constructor(size) {
    this.size = size;
    this.longest = String(size).length + 1;
  }

  encode(text) {
    return text.split(/[\s,]+/u).filter(Boolean).map((word) => {
      if (!/^\d+$/.test(word) || Number(word) >= this.size) {
        throw new Error(`this model reads numbers from 0 to ${this.size - 1}, separated by spaces, and “${word}” is not one of them.`);
      }
      return Number(word);
    });
  }

  unknownWords() {
    return [];
  }

  isPartial() {
    return false;
  }

  label(id) {
    return String(id);
  }

  strings(ids) {
    return ids.map(String);
  }

  decode(ids) {
    return ids.join(" ");
  }
}
