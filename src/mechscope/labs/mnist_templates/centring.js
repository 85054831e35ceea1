// Move and scale a drawn digit as MNIST's were: the longer side of its box 20 pixels, its centre of mass in the middle.
// The same arithmetic as labs/mnist_templates/centring.py.

const BOX = 20;

/**
 * @param {Float64Array} image brightness from 0 to 1, row by row
 * @param {number} side pixels per side
 * @returns {Float64Array} an image of the same size; an empty one stays empty
 */
export function centreDigit(image, side) {
  const [rows, columns] = [new Float64Array(side), new Float64Array(side)];
  image.forEach((ink, i) => {
    rows[Math.floor(i / side)] += ink;
    columns[i % side] += ink;
  });
  const total = rows.reduce((a, b) => a + b, 0);
  if (total === 0) return image.slice();
  const scale = BOX / Math.max(extent(rows), extent(columns));
  const sources = [rows, columns].map((masses) => {
    const mean = masses.reduce((sum, mass, i) => sum + mass * i, 0) / total;
    return Array.from({ length: side }, (_, i) => mean + (i - side / 2) / scale);
  });
  const at = (row, column) => (row < 0 || column < 0 || row >= side || column >= side ? 0 : image[row * side + column]);
  return Float64Array.from({ length: side * side }, (_, i) => {
    const [y, x] = [sources[0][Math.floor(i / side)], sources[1][i % side]];
    const [row, column] = [Math.floor(y), Math.floor(x)];
    const [down, right] = [y - row, x - column];
    return (1 - down) * ((1 - right) * at(row, column) + right * at(row, column + 1)) +
      down * ((1 - right) * at(row + 1, column) + right * at(row + 1, column + 1));
  });
}

/** From the first row (or column) with ink to the last. */
function extent(masses) {
  const inked = [...masses.keys()].filter((i) => masses[i] > 0);
  return inked[inked.length - 1] - inked[0] + 1;
}
