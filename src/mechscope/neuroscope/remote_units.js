// The units of a model that the server runs, with the interface of `LocalUnits`.

import { ask } from "./remote_model.js";

export class RemoteUnits {
  static async load({ model }, site) {
    return new RemoteUnits(model, site, await ask("neuroscope/live/load", { model, site }));
  }

  constructor(model, site, { changes }) {
    Object.assign(this, { model, site, changes });
  }

  async read(text, unit) {
    this.text = text;
    return ask("neuroscope/live/read", { model: this.model, site: this.site, unit, text });
  }

  async effect(question) {
    return ask("neuroscope/live/effect", { model: this.model, site: this.site, text: this.text, ...question });
  }
}
