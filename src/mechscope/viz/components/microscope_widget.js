// The microscope as a widget: the model's weights come from Python.

import { asPython } from "./edits.js";
import { Microscope } from "./microscope.js";
import { readSafetensors } from "./safetensors.js";
import { Tokenizer } from "./tokenizer.js";
import { Transformer } from "./transformer.js";

/** As a widget (see widget.js). The weights are those of the model in Python, processed or not. */
export function mountMicroscope(element, props, selection, tell) {
  const model = new Transformer(props.config, readSafetensors(props.weights.buffer), { process: false });
  const tokenizer = new Tokenizer(props.tokenizer, props.tokenizer_config);
  const scope = new Microscope(element, model, tokenizer, {
    prompt: props.prompt,
    other: props.other,
    prependBos: props.prepend_bos,
    onRun: ({ fitting: edits, tokens, position }) => {
      tell("interventions", edits.map((edit) => ({ ...edit })));
      tell("token_ids", [...tokens]);
      tell("position", position);
      tell("python", asPython(model.cfg.model_name, tokens, edits));
    },
  });
  return { position: (position) => scope.look(position) };
}
