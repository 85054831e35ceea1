// The units of a model that the server runs, with the interface of `LocalUnits`.

import { ask } from "./remote_model.js";

export class RemoteUnits {
  static async load({ model }, site) {
    return new RemoteUnits(model, site, await ask("neuroscope/live/load", { model, site }));
  }

  constructor(model, site, { changes, beginning }) {
    Object.assign(this, { model, site, changes, beginning });
  }

  async read(text, unit) {
    Object.assign(this, { text, unit });
    return { ...(await ask("neuroscope/live/read", { model: this.model, site: this.site, unit, text })), units: 1 };
  }

  async effect({ unit, position, change, amount }) {
    return ask("neuroscope/live/effect", { model: this.model, site: this.site, text: this.text, unit, position, change, amount });
  }

  async pattern({ tokens: shown, focus }, head) {
    const { model } = this;
    const isFirst = shown[0] === this.beginning;
    const { tokens } = await ask("models/tokens", { model, text: shown.slice(isFirst ? 1 : 0).join("") });
    const before = this.beginning && !isFirst ? 1 : 0;
    if (tokens.length !== shown.length + before) return null;
    const layer = Number(/^attn(\d+)/.exec(this.site)[1]);
    const patterns = new Float32Array(await ask("models/attention", { model, tokens, edits: [], layer }));
    const from = (head * tokens.length + focus + before) * tokens.length;
    return patterns.slice(from + before, from + before + focus + 1);
  }

  /** The server's models are not under the microscope by an address. */
  edit() {
    return null;
  }
}
