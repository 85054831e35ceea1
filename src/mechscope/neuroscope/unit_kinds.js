// Kinds of units, in words.

/** The kind of a site's units, by its name: what `unit_terms.html` explains. */
export function kindOf(site) {
  if (/^mlp\d+$/.test(site)) return "neuron";
  return /^attn\d+\.(entropy|distance|norm)$/.exec(site)?.[1] ?? "latent";
}

/** Whether a site's units are attention heads. */
export function isHead(site) {
  return ["entropy", "distance", "norm"].includes(kindOf(site));
}

/** A number of units: "256 neurons of layer 0", from what one of them is ("neuron of layer 0"). */
export function countOf(units, words) {
  const all = units === 1 ? words : words.replace(" of ", "s of ").replace(", by ", ", each by ");
  return `${units.toLocaleString("en")} ${all}`;
}
