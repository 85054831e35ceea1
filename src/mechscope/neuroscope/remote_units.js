// The units of a model that the server runs, with the interface of `LocalUnits`.

import { lastRow } from "./local_units.js";
import { ask } from "./remote_model.js";

export class RemoteUnits {
  turn = 0;

  static async load({ model }, site) {
    return new RemoteUnits(model, site, await ask("neuroscope/live/load", { model, site }));
  }

  constructor(model, site, { changes, beginning }) {
    Object.assign(this, { model, site, changes, beginning, isRemote: true });
  }

  async read(text, unit) {
    const turn = ++this.turn;
    const reading = await ask("neuroscope/live/read", { model: this.model, site: this.site, unit, text });
    // Until the answer is there, the page shows the text before, and asks about the effect at one of its positions.
    if (turn === this.turn) this.text = text;
    return { ...reading, units: 1 };
  }

  /** What a change does to the next token, after a position of the text that was read last. */
  async effect({ unit, position, change, amount }) {
    return ask("neuroscope/live/effect", { model: this.model, site: this.site, text: this.text, unit, position, change, amount });
  }

  async readIds() {
    return (await ask("models/tokens", { model: this.model, text: this.text })).tokens;
  }

  async pattern(tokens, head) {
    const layer = Number(/^attn(\d+)/.exec(this.site)[1]);
    const patterns = await ask("models/attention", { model: this.model, tokens, edits: [], layer });
    return lastRow(new Float32Array(patterns), tokens.length, head);
  }

  /** The server's models are not under the microscope by an address. */
  edit() {
    return null;
  }
}
