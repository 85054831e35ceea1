// Interventions as data: how each one changes a run, what it is called, and the Python code that does the same.

const KINDS = {
  ablate_head: {
    words: ({ layer, head }) => `head L${layer}H${head} set to zero`,
    hook: ({ layer, head }) => [
      `blocks.${layer}.attn.hook_z`,
      ({ shape: [positions, heads, width], data }) => {
        for (let pos = 0; pos < positions; pos++) data.fill(0, (pos * heads + head) * width, (pos * heads + head + 1) * width);
      },
    ],
    python: ({ layer, head }, name) => [
      `def ${name}(z, hook):`,
      `    z[:, :, ${head}] = 0  # [batch pos head d_head]`,
      `    return z`,
      `hooks.append(("blocks.${layer}.attn.hook_z", ${name}))`,
    ],
  },
  ablate_mlp: {
    words: ({ layer }) => `MLP ${layer} set to zero`,
    hook: ({ layer }) => [`blocks.${layer}.hook_mlp_out`, ({ data }) => data.fill(0)],
    python: ({ layer }, name) => [
      `def ${name}(mlp_out, hook):`,
      `    return mlp_out * 0`,
      `hooks.append(("blocks.${layer}.hook_mlp_out", ${name}))`,
    ],
  },
  steer: {
    words: ({ layer, scale, name }) => `${scale} × the direction of “${name}” added before block ${layer}`,
    hook: ({ layer, scale, token }, model) => [
      `blocks.${layer}.hook_resid_pre`,
      ({ shape: [positions, width], data }) => {
        const direction = unitColumn(model.weight("unembed.W_U"), token);
        for (let i = 0; i < positions * width; i++) data[i] += scale * direction[i % width];
      },
    ],
    python: ({ layer, scale, token }, name) => [
      `direction = model.W_U[:, ${token}] / model.W_U[:, ${token}].norm()`,
      `def ${name}(resid, hook, direction=direction):`,
      `    return resid + ${scale} * direction`,
      `hooks.append(("blocks.${layer}.hook_resid_pre", ${name}))`,
    ],
  },
};

/** What an edit does, in words. */
export function inWords(edit) {
  return KINDS[edit.kind].words(edit);
}

/** The hooks of several edits, by hook point, for `Transformer.run`; edits of one hook point follow each other. */
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
    lines.push("", `# ${inWords(edit).replaceAll(/[\n\r]/g, " ")}`, ...KINDS[edit.kind].python(edit, `edit_${index}`));
  });
  lines.push(
    "",
    "with torch.no_grad(), model.hooks(fwd_hooks=hooks):",
    "    logits, cache = model.run_with_cache(tokens)",
    "",
  );
  return lines.join("\n");
}

function unitColumn(matrix, index) {
  const [rows, columns] = matrix.shape;
  const found = Float64Array.from({ length: rows }, (_, i) => matrix.data[i * columns + index]);
  const norm = Math.hypot(...found);
  return found.map((x) => x / norm);
}
