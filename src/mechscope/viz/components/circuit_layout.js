// Where the parts of a circuit are drawn: the layout of viz/circuit_graph.py, which a test compares with this one.
//
// The input is at the bottom, layers upwards, the logits on top. A head is a box with three inputs at its lower side,
// from left to right queries, keys and values. One unit is the distance between two rows.

const NODE = /^(?:input|logits|a(\d+)\.h(\d+)(?:<([qkv])>)?|m(\d+))$/;
const INPUT_PLACES = { q: -0.27, k: 0, v: 0.27 }; // as a fraction of the box's width
const BOWS = [0, 0.5, -0.5, 0.8, -0.8, 1.1, -1.1, 1.5, -1.5, 2, -2, 2.6, -2.6, 3.4, -3.4];
const POINTS = 32;
export const HALF_WIDTH = 0.4;
export const HALF_HEIGHT = 0.19;
const TOP = 1e6;

/**
 * A node and the name of one of its inputs.
 * @param {string} name such as `a0.h1`, `a0.h1<k>`, `m0`, `input` or `logits`
 * @returns {{name: string, kind: "head" | "mlp" | "shared" | "end", row: [number, number], head: number,
 *   readers: string[], input: string}}
 * @throws {Error} for anything else
 */
export function parseNode(name, { nHeads = 1, nKvHeads = 1 } = {}) {
  const match = NODE.exec(name);
  if (!match) {
    throw new Error(`“${name}” is not a node of a circuit; nodes are input, a3.h1 (as a reader a3.h1<q>, <k> or <v>), m2, logits.`);
  }
  const [, layer, head, input, mlp] = match;
  if (name === "input" || name === "logits") {
    return { name, kind: "end", row: [name === "input" ? -1 : TOP, 0], head: 0, readers: [], input: "" };
  }
  if (mlp !== undefined) return { name, kind: "mlp", row: [Number(mlp), 1], head: 0, readers: [], input: "" };
  const number = Number(head);
  if ((input === "k" || input === "v") && nHeads !== nKvHeads) {
    // Keys and values that a whole group of query heads reads have a box of their own.
    const size = nHeads / nKvHeads;
    const readers = Array.from({ length: size }, (_, i) => `a${layer}.h${number * size + i}`);
    return { name: `a${layer} k/v ${number}`, kind: "shared", row: [Number(layer), -1], head: number, readers, input };
  }
  return { name: `a${layer}.h${number}`, kind: "head", row: [Number(layer), 0], head: number, readers: [], input: input ?? "" };
}

/** An edge `src->dst`: {name, source, destination, input}, the ends as nodes. */
export function parseEdge(name, shape) {
  const ends = name.split("->");
  if (ends.length !== 2) throw new Error(`“${name}” is not an edge; an edge is written src->dst.`);
  const destination = parseNode(ends[1], shape);
  return { name, source: parseNode(ends[0]), destination, input: destination.input };
}

/**
 * Coordinates of the nodes.
 * @returns {{places: Map<string, [number, number]>, order: string[][], half: number}} order: names row by row, from the
 *   bottom; half: half of the drawing's width
 */
export function layOut(nodes) {
  const byRow = new Map();
  for (const node of nodes) {
    const key = node.row.join();
    if (!byRow.has(key)) byRow.set(key, []);
    byRow.get(key).push(node);
  }
  const rows = [...byRow.values()].sort(([a], [b]) => a.row[0] - b.row[0] || a.row[1] - b.row[1]);
  for (const row of rows) row.sort((a, b) => a.head - b.head);
  const width = Math.max(...rows.map((row) => row.length));
  const places = new Map();
  rows.forEach((row, y) => {
    // Rows with several nodes are spread over the full width, so that edges have room.
    const spread = row.length < 2 ? 1 : Math.min(1.6, (width - 1) / (row.length - 1));
    // A single node in the centre would block every edge that passes: alternate rows are shifted sideways.
    const aside = row[0].kind === "end" || row.length > 1 ? 0 : y % 2 ? 0.42 : -0.42;
    row.forEach((node, index) => places.set(node.name, [(index - (row.length - 1) / 2) * spread + aside, y]));
  });
  return { places, order: rows.map((row) => row.map(({ name }) => name)), half: Math.max(width / 2, 3.2) + 0.1 };
}

/**
 * Of several curves, the straightest of those that pass behind the fewest boxes: a line that passes behind a box looks
 * as if it started there.
 * @returns {[number, number][]} the four control points of a Bézier curve
 */
export function routeEdge(start, end, input, boxes, half) {
  const between = boxes.filter(([, y]) => y > start[1] && y < end[1]);
  let [best, fewest] = [curve(start, end, input, 0), Infinity];
  for (const bow of between.length ? BOWS : [0]) {
    const controls = curve(start, end, input, bow);
    const points = pointsOn(controls);
    const covered = between.filter(([x, y]) =>
      points.some(([px, py]) => Math.abs(px - x) < HALF_WIDTH + 0.06 && Math.abs(py - y) < HALF_HEIGHT));
    const hidden = covered.length + (points.some(([x]) => Math.abs(x) > half) ? 5 : 0);
    if (hidden < fewest) [best, fewest] = [controls, hidden];
    if (fewest === 0) break;
  }
  return best;
}

function curve(start, end, input, bow) {
  const [x0, y0] = [start[0], start[1] + HALF_HEIGHT];
  const [x1, y1] = [end[0] + (INPUT_PLACES[input] ?? 0) * 2 * HALF_WIDTH, end[1] - HALF_HEIGHT];
  const rise = y1 - y0;
  return [[x0, y0], [x0 + bow, y0 + rise * 0.45], [x1 + bow, y1 - rise * 0.45], [x1, y1]];
}

/** Points along a curve from its control points. */
export function pointsOn(controls) {
  return Array.from({ length: POINTS }, (_, i) => {
    const t = i / (POINTS - 1);
    const weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t), t ** 3];
    return [0, 1].map((axis) => weights.reduce((sum, weight, k) => sum + weight * controls[k][axis], 0));
  });
}
