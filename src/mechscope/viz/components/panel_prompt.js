// The text under the microscope: typed, checked, and shown as tokens coloured by their losses.

import { renderTokens } from "./tokens.js";

export const promptPanel = {
  name: "prompt",
  title: "Prompt",
  hideTitle: true,
  html: `<label>Text to look at
      <textarea class="ms-prompt" rows="3" spellcheck="false" dir="auto"></textarea></label>
    <p class="problem ms-problem" role="alert" hidden></p>
    <p class="problem ms-failure" role="alert" hidden></p>
    <p class="missing ms-unknown" role="status" hidden></p>
    <p class="missing ms-bytes" role="status" hidden>Some characters are spread over several tokens here. Such a token is
      shown by its bytes, as in &lt;0xF0&gt;.</p>`,

  start(scope, find) {
    let timer;
    find("prompt").addEventListener("input", () => {
      clearTimeout(timer);
      // A server is asked when the reader stops typing for a moment.
      if (scope.subject.isRemote) timer = setTimeout(() => scope.read(), 400);
      else scope.read();
    });
  },

  draw(scope, find) {
    const box = find("unknown");
    const words = [...scope.unknown].slice(0, 5).map((word) => `“${word.trim()}”`).join(", ");
    box.hidden = !words;
    box.textContent = `This model knows only ${scope.subject.cfg.d_vocab} words, and not ${words}` +
      `${scope.unknown.length > 5 ? " and others" : ""}: it reads each as <unk>.`;
    find("bytes").hidden = !scope.split;
  },
};

export const tokensPanel = {
  name: "tokens",
  title: "Tokens",
  html: `<p class="ms-words">Coloured by the loss of the model on each token, in nats: how much it surprised the model.
      Choose a position to look from.</p><div class="ms-text"></div>`,

  async draw(scope, find, isStale) {
    const losses = await scope.now.losses();
    if (isStale()) return;
    renderTokens(find("text"), {
      tokens: scope.strings,
      values: [null, ...losses.slice(0, -1)],
      unit: "nats",
      minimum: 0,
      selected: scope.position,
      onSelect: (index) => scope.look(index),
    });
  },
};
