// The units of a model that the server runs, with the interface of `LocalUnits`.

import { lastRow } from "./local_units.js";
import { ask } from "./remote_model.js";

export class RemoteUnits {
  static async load({ model }, site) {
    return new RemoteUnits(model, site, await ask("neuroscope/live/load", { model, site }));
  }

  constructor(model, site, { changes, beginning }) {
    Object.assign(this, { model, site, changes, beginning, isRemote: true });
  }

  async read(text, unit) {
    Object.assign(this, { text, unit });
    return { ...(await ask("neuroscope/live/read", { model: this.model, site: this.site, unit, text })), units: 1 };
  }

  async effect({ unit, position, change, amount }) {
    return ask("neuroscope/live/effect", { model: this.model, site: this.site, text: this.text, unit, position, change, amount });
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
