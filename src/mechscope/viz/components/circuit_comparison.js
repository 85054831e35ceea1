// Compare what a method found with the true circuit, at any threshold. Plain data in, plain data out.

/** The sizes of the scores, each once, largest first: the thresholds that matter. Scores of 0 are never kept. */
export function thresholdsOf(scores) {
  return [...new Set(scores.map(Math.abs))].filter((size) => size > 0).sort((a, b) => b - a);
}

/** The threshold that keeps at least `count` of the scores: the largest such one. */
export function thresholdKeeping(scores, count) {
  const sizes = scores.map(Math.abs).filter((size) => size > 0).sort((a, b) => b - a);
  return sizes[Math.min(Math.max(count, 1), sizes.length) - 1] ?? Infinity;
}

/**
 * @param {string[]} names of edges or nodes
 * @param {number[]} scores one for each
 * @param {number} threshold kept is what scores at least this much, in magnitude
 * @param {Set<string>} truth the names of the true ones
 * @returns {{verdicts: string[], kept: number, found: number, missed: number, extra: number, precision: number,
 *   recall: number}} verdicts: "found" (kept and true), "missed" (true, not kept), "extra" (kept, not true) or "out"
 *   (neither); precision and recall are NaN where they are undefined
 */
export function compareAt(names, scores, threshold, truth) {
  const counts = { found: 0, missed: 0, extra: 0, out: 0 };
  const verdicts = names.map((name, index) => {
    const size = Math.abs(scores[index]);
    const kept = size > 0 && size >= threshold;
    const verdict = truth.has(name) ? (kept ? "found" : "missed") : kept ? "extra" : "out";
    counts[verdict]++;
    return verdict;
  });
  const { found, missed, extra } = counts;
  return {
    verdicts, found, missed, extra, kept: found + extra,
    precision: found / (found + extra), recall: found / (found + missed),
  };
}

/** The chance that a true one has a larger score, in magnitude, than a false one; ties count half. NaN without either. */
export function auroc(names, scores, truth) {
  const [yes, no] = [[], []];
  names.forEach((name, index) => (truth.has(name) ? yes : no).push(Math.abs(scores[index])));
  let wins = 0;
  for (const a of yes) for (const b of no) wins += a > b ? 1 : a === b ? 0.5 : 0;
  return wins / (yes.length * no.length);
}

/** Rows as a CSV file (RFC 4180), which also no spreadsheet takes for formulas. */
export function toCsv(rows) {
  const cell = (value) => {
    const text = String(value ?? "");
    const safe = typeof value === "string" && /^[=+@\t\r-]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
