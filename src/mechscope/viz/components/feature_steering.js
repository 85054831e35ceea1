// Steering with a feature of a dictionary: its direction, times a scale, is added to an activation at every position.

import { asPython } from "./edits.js";

/**
 * The hooks for `Transformer.run`.
 * @param {object} steering
 * @param {string} steering.site hook point that the dictionary writes
 * @param {number} steering.scale 0 for none
 * @param {ArrayLike<number>} steering.direction of the feature
 */
export function steeringHooks({ site, scale, direction }) {
  if (!scale) return new Map();
  return new Map([[site, ({ shape: [, width], data }) => {
    for (let i = 0; i < data.length; i++) data[i] += scale * direction[i % width];
  }]]);
}

/**
 * A Python program that runs the model with the same steering.
 * @param {string} modelName
 * @param {number[]} tokens
 * @param {object} steering as above, with `feature`: its number, and `dictionary`: the name of a bundled one
 */
export function steeringPython(modelName, tokens, { site, scale, feature, dictionary }) {
  const plain = asPython(modelName, tokens, []);
  if (!scale) return plain;
  const run = plain.indexOf("\nwith torch.no_grad(), model.hooks(");
  const lines = [
    "",
    `# ${scale} × feature ${feature} added at every position`,
    `dictionary = ms.dictionaries.load(${JSON.stringify(dictionary)}).float()`,
    `direction = dictionary.W_dec[${feature}].detach() / dictionary.scale_out`,
    "def steer(activation, hook):",
    `    return activation + ${scale} * direction`,
    `hooks.append((${JSON.stringify(site)}, steer))`,
    "",
  ];
  return plain.slice(0, run) + lines.join("\n") + plain.slice(run);
}
