// Interventions as data: how each one changes a run, what it is called, and the Python code that does the same.
//
// An edit is an object with a `kind` and whole numbers, texts or token ids, so that it can be put into an address or
// sent to the server (web/interventions.py applies the same kinds there).

const headOutput = (layer) => `blocks.${layer}.attn.hook_z`;
const mlpOutput = (layer) => `blocks.${layer}.hook_mlp_out`;
const neurons = (layer) => `blocks.${layer}.mlp.hook_post`;
const stream = (layer) => `blocks.${layer}.hook_resid_pre`;

// An edit of one head's output [pos head d_head]; `change` gets each position's part.
const eachPosition = (head, change) => ({ shape: [positions, heads, width], data }) => {
  for (let pos = 0; pos < positions; pos++) {
    const from = (pos * heads + head) * width;
    change(data.subarray(from, from + width), from);
  }
};

const headPython = (layer, head, change) => (name) => [
  `def ${name}(z, hook):  # z [batch pos head d_head]`,
  `    z[:, :, ${head}] = ${change}`,
  `    return z`,
  `hooks.append(("${headOutput(layer)}", ${name}))`,
];
const mlpPython = (layer, change) => (name) => [
  `def ${name}(mlp_out, hook):  # mlp_out [batch pos d_model]`,
  `    return ${change}`,
  `hooks.append(("${mlpOutput(layer)}", ${name}))`,
];

// An edit of one neuron's activation at every position.
const eachActivation = (layer, neuron, change) => [neurons(layer), ({ shape: [positions, width], data }) => {
  for (let pos = 0; pos < positions; pos++) data[pos * width + neuron] = change(data[pos * width + neuron]);
}];
const neuronPython = (layer, neuron, change) => (name) => [
  `def ${name}(post, hook):  # post [batch pos d_mlp]`,
  `    post[:, :, ${neuron}] ${change}`,
  `    return post`,
  `hooks.append(("${neurons(layer)}", ${name}))`,
];

// What a patch replaces: its hook point, and which slices of the activation.
const PATCHES = {
  residual: { hook: stream, words: (layer, pos) => `residual stream before block ${layer} at position ${pos}` },
  attention: { hook: (layer) => `blocks.${layer}.hook_attn_out`, words: (layer, pos) => `attention output of block ${layer} at position ${pos}` },
  mlp: { hook: mlpOutput, words: (layer, pos) => `output of MLP ${layer} at position ${pos}` },
  heads: { hook: headOutput, words: (layer, head) => `output of head L${layer}H${head}` },
};

const KINDS = {
  ablate_head: {
    fields: ["layer", "head"],
    words: ({ layer, head }) => `head L${layer}H${head} set to zero`,
    hook: ({ layer, head }) => [headOutput(layer), eachPosition(head, (z) => z.fill(0))],
    python: ({ layer, head }) => headPython(layer, head, "0"),
  },
  ablate_mlp: {
    fields: ["layer"],
    words: ({ layer }) => `MLP ${layer} set to zero`,
    hook: ({ layer }) => [mlpOutput(layer), ({ data }) => data.fill(0)],
    python: ({ layer }) => mlpPython(layer, "mlp_out * 0"),
  },
  mean_head: {
    fields: ["layer", "head"],
    words: ({ layer, head }) => `head L${layer}H${head} replaced by its mean over the positions`,
    hook: ({ layer, head }) => [headOutput(layer), (activation) => {
      const mean = new Float64Array(activation.shape[2]);
      eachPosition(head, (z) => z.forEach((value, i) => { mean[i] += value / activation.shape[0]; }))(activation);
      eachPosition(head, (z) => z.set(mean))(activation);
    }],
    python: ({ layer, head }) => headPython(layer, head, `z[:, :, ${head}].mean(1, keepdim=True)`),
  },
  mean_mlp: {
    fields: ["layer"],
    words: ({ layer }) => `MLP ${layer} replaced by its mean over the positions`,
    hook: ({ layer }) => [mlpOutput(layer), ({ shape: [positions, width], data }) => {
      const mean = new Float64Array(width);
      data.forEach((value, i) => { mean[i % width] += value / positions; });
      data.forEach((_, i) => { data[i] = mean[i % width]; });
    }],
    python: ({ layer }) => mlpPython(layer, "mlp_out.mean(1, keepdim=True).expand_as(mlp_out)"),
  },
  scale_head: {
    fields: ["layer", "head", "factor"],
    words: ({ layer, head, factor }) => `output of head L${layer}H${head} multiplied by ${factor}`,
    hook: ({ layer, head, factor }) => [headOutput(layer), eachPosition(head, (z) => z.forEach((_, i) => { z[i] *= factor; }))],
    python: ({ layer, head, factor }) => headPython(layer, head, `z[:, :, ${head}] * ${factor}`),
  },
  scale_mlp: {
    fields: ["layer", "factor"],
    words: ({ layer, factor }) => `output of MLP ${layer} multiplied by ${factor}`,
    hook: ({ layer, factor }) => [mlpOutput(layer), ({ data }) => data.forEach((_, i) => { data[i] *= factor; })],
    python: ({ layer, factor }) => mlpPython(layer, `mlp_out * ${factor}`),
  },
  ablate_neuron: {
    fields: ["layer", "neuron"],
    words: ({ layer, neuron }) => `neuron ${neuron} of MLP ${layer} set to zero`,
    hook: ({ layer, neuron }) => eachActivation(layer, neuron, () => 0),
    python: ({ layer, neuron }) => neuronPython(layer, neuron, "= 0"),
  },
  add_neuron: {
    fields: ["layer", "neuron", "amount"],
    words: ({ layer, neuron, amount }) => `${amount} added to neuron ${neuron} of MLP ${layer}`,
    hook: ({ layer, neuron, amount }) => eachActivation(layer, neuron, (value) => value + amount),
    python: ({ layer, neuron, amount }) => neuronPython(layer, neuron, `+= ${amount}`),
  },
  // A token's column of the unembedding, or its difference from another token's; the length is 1 before it is scaled.
  steer: {
    fields: ["layer", "scale", "token", "minus_token", "position", "name", "minus_name"],
    words: ({ layer, scale, name, minus_name, minus_token, position }) =>
      `${scale} × the direction ${minus_token === undefined ? "of" : `from “${minus_name}” to`} “${name}” added before block ${layer}${where(position)}`,
    hook: (edit, model) => {
      const [to, from] = [edit.token, edit.minus_token].map((token) => (token === undefined ? null : column(model.weight("unembed.W_U"), token)));
      return addition(edit, unit(from ? to.map((x, i) => x - from[i]) : to));
    },
    python: ({ layer, scale, token, minus_token, position }) => (name) => [
      `direction = model.W_U[:, ${token}]${minus_token === undefined ? "" : ` - model.W_U[:, ${minus_token}]`}`,
      ...additionPython(name, layer, scale, position),
    ],
  },
  // The difference between two texts' residual streams at their last tokens, made 1 long before it is scaled.
  contrast: {
    fields: ["layer", "scale", "plus", "minus", "position", "plus_text", "minus_text"],
    words: ({ layer, scale, plus_text, minus_text, position }) =>
      `${scale} × the direction from “${minus_text}” to “${plus_text}” added before block ${layer}${where(position)}`,
    hook: (edit, model) => {
      const [to, from] = [edit.plus, edit.minus].map((tokens) => {
        const { shape: [positions, width], data } = activationOf(model, tokens, stream(edit.layer));
        return Float64Array.from(data.subarray((positions - 1) * width));
      });
      return addition(edit, unit(to.map((x, i) => x - from[i])));
    },
    python: ({ layer, scale, plus, minus, position }) => (name) => [
      `def last_residual(tokens):`,
      `    with torch.no_grad():`,
      `        return model.run_with_cache(torch.tensor([tokens]))[1]["${stream(layer)}"][0, -1]`,
      `direction = last_residual([${plus.join(", ")}]) - last_residual([${minus.join(", ")}])`,
      ...additionPython(name, layer, scale, position),
    ],
  },
  // An activation of the run on other tokens (as many) instead of this run's; `index` is a position, for heads a head.
  patch: {
    fields: ["site", "layer", "index", "source"],
    words: ({ site, layer, index }) => `${PATCHES[site].words(layer, index)} taken from the second text`,
    hook: ({ site, layer, index, source }, model) => {
      const name = PATCHES[site].hook(layer);
      const { data: other } = activationOf(model, source, name);
      if (site === "heads") return [name, eachPosition(index, (z, from) => z.set(other.subarray(from, from + z.length)))];
      return [name, ({ shape: [, width], data }) => data.set(other.subarray(index * width, (index + 1) * width), index * width)];
    },
    python: ({ site, layer, index, source }) => (name) => {
      const slice = site === "heads" ? `[:, :, ${index}]` : `[:, ${index}]`;
      return [
        `with torch.no_grad():`,
        `    other = model.run_with_cache(torch.tensor([[${source.join(", ")}]]))[1]["${PATCHES[site].hook(layer)}"]`,
        `def ${name}(activation, hook, other=other):`,
        `    activation${slice} = other${slice}`,
        `    return activation`,
        `hooks.append(("${PATCHES[site].hook(layer)}", ${name}))`,
      ];
    },
  },
};

const activations = new WeakMap();

// What each field of an edit must be; kinds list theirs below.
const isIndex = (value, size) => Number.isInteger(value) && value >= 0 && value < size;
const isText = (value) => typeof value === "string" && value.length <= 5000;
const areTokens = (value, { d_vocab, n_ctx }) => Array.isArray(value) && value.length > 0 && value.length <= n_ctx && value.every((token) => isIndex(token, d_vocab));
const FIELDS = {
  layer: (value, cfg) => isIndex(value, cfg.n_layers),
  head: (value, cfg) => isIndex(value, cfg.n_heads),
  neuron: (value, cfg) => isIndex(value, cfg.d_mlp),
  index: (value, cfg, edit) => isIndex(value, edit.site === "heads" ? cfg.n_heads : edit.source?.length),
  position: (value, cfg) => value === undefined || isIndex(value, cfg.n_ctx),
  factor: Number.isFinite,
  amount: Number.isFinite,
  scale: Number.isFinite,
  token: (value, cfg) => isIndex(value, cfg.d_vocab_out),
  minus_token: (value, cfg) => value === undefined || isIndex(value, cfg.d_vocab_out),
  site: (value, cfg) => Object.hasOwn(PATCHES, value) && !(value === "mlp" && cfg.attn_only),
  source: areTokens,
  plus: areTokens,
  minus: areTokens,
  name: isText,
  minus_name: (value) => value === undefined || isText(value),
  plus_text: isText,
  minus_text: isText,
};

/** Whether an edit from elsewhere, such as an address, is one of this model's. */
export function checkEdit(edit, cfg) {
  if (typeof edit !== "object" || edit === null || !Object.hasOwn(KINDS, edit.kind)) return false;
  const { fields } = KINDS[edit.kind];
  if (/_(mlp|neuron)$/.test(edit.kind) && cfg.attn_only) return false;
  return fields.every((field) => FIELDS[field](edit[field], cfg, edit)) &&
    Object.keys(edit).every((field) => field === "kind" || fields.includes(field));
}

/** What an edit does, in words. */
export function inWords(edit) {
  return KINDS[edit.kind].words(edit);
}

/** Whether an edit can be applied to a text of these tokens: positions and second texts were chosen for another one. */
export function fits(edit, tokens) {
  if (edit.source) return edit.source.length === tokens.length;
  return edit.position === undefined || edit.position < tokens.length;
}

/**
 * The hooks of several edits, by hook point, for `Transformer.run`; edits of one hook point follow each other.
 * @throws {Error} for an edit that makes no sense in this model, such as the direction between two equal texts
 */
export function hooksOf(edits, model) {
  const hooks = new Map();
  for (const edit of edits) {
    const [name, change] = KINDS[edit.kind].hook(edit, model);
    const before = hooks.get(name);
    hooks.set(name, before ? (activation) => { before(activation); change(activation); } : change);
  }
  return hooks;
}

/** Python code that runs the same model on the same tokens with the same edits. */
export function asPython(modelName, tokens, edits) {
  const lines = [
    "import torch",
    "import mechscope as ms",
    "",
    `model = ms.load_model(${JSON.stringify(modelName)})`,
    `tokens = torch.tensor([[${tokens.join(", ")}]])`,
    "hooks = []",
  ];
  edits.forEach((edit, index) => {
    const comment = inWords(edit).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, " ");
    lines.push("", `# ${comment}`, ...KINDS[edit.kind].python(edit)(`edit_${index}`));
  });
  lines.push(
    "",
    "with torch.no_grad(), model.hooks(fwd_hooks=hooks):",
    "    logits, cache = model.run_with_cache(tokens)",
    "",
  );
  return lines.join("\n");
}

function where(position) {
  return position === undefined ? "" : ` at position ${position}`;
}

/** Add a direction to the residual stream before a layer, at one position or at all. */
function addition({ layer, scale, position }, direction) {
  return [stream(layer), ({ shape: [positions, width], data }) => {
    const [first, end] = position === undefined ? [0, positions] : [position, position + 1];
    for (let i = first * width; i < end * width; i++) data[i] += scale * direction[i % width];
  }];
}

function additionPython(name, layer, scale, position) {
  const slice = position === undefined ? "" : `[:, ${position}]`;
  return [
    `direction = direction / direction.norm()`,
    `def ${name}(resid, hook, direction=direction):  # resid [batch pos d_model]`,
    `    resid${slice} += ${scale} * direction`,
    `    return resid`,
    `hooks.append(("${stream(layer)}", ${name}))`,
  ];
}

/** An activation of the unedited run on some tokens, kept as long as both the model and this list of tokens exist. */
function activationOf(model, tokens, name) {
  if (!activations.has(model)) activations.set(model, new WeakMap());
  const ofModel = activations.get(model);
  if (!ofModel.has(tokens)) ofModel.set(tokens, new Map());
  const found = ofModel.get(tokens);
  if (!found.has(name)) found.set(name, model.run(tokens, { record: (other) => other === name }).cache.get(name));
  return found.get(name);
}

function column(matrix, index) {
  const [rows, columns] = matrix.shape;
  return Float64Array.from({ length: rows }, (_, i) => matrix.data[i * columns + index]);
}

function unit(vector) {
  const norm = Math.hypot(...vector);
  if (norm < 1e-6) {
    throw new Error("both ends of this direction are the same point, so there is no direction between them: choose a later block, or other words.");
  }
  return vector.map((x) => x / norm);
}
