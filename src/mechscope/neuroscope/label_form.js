// The form on a unit's page that writes a label and tests it. It needs a server.

import { ask } from "./remote_model.js";
import { asSentence } from "./wording.js";

export class LabelForm {
  /**
   * @param {function} find part's name → element
   * @param {boolean} isServed whether there is a server
   * @param {function} changed is called with the unit's address when a label has been written or tested
   */
  constructor(find, isServed, changed) {
    Object.assign(this, { find, changed });
    find("label-it").hidden = !isServed;
    find("label-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** The unit that a label is for from now on. */
  open(address) {
    this.address = address;
    this.say(address, "");
  }

  async submit() {
    const { find, address } = this;
    const form = find("label-form");
    const button = form.querySelector("button");
    const { model, site, unit } = address;
    button.disabled = true;
    this.say(address, "Writing it down …");
    try {
      const { label } = await ask("neuroscope/label", { model, site, unit, ...Object.fromEntries(new FormData(form)) });
      await this.changed(address);
      this.say(address, "Testing it on texts that this page does not show …");
      const { verdict } = await ask("neuroscope/score", { model, label });
      await this.changed(address);
      this.say(address, `The verdict: ${verdict}. The reason and the scores are with the labels, below.`);
    } catch (error) {
      this.say(address, "", asSentence(error.message));
    }
    button.disabled = false;
  }

  /** Say how far it is, or what is wrong, unless the reader has gone on to another unit. */
  say(address, words, problem = "") {
    if (address !== this.address) return;
    this.find("label-status").textContent = words;
    this.find("label-problem").textContent = problem;
    this.find("label-problem").hidden = !problem;
  }
}
