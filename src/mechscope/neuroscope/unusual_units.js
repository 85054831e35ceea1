// Which units fire on a text, in the order of how unusual that is for them; the same measure as neuroscope/fire.py: the
// share of all tokens of the harvest at which the unit was at least as active (or, where low activations mean something,
// at most as active), rounded up to whole bins of its histogram. 0 means that it never was.

/**
 * @param {object} reading `values` [pos unit], `units`, `strings`, and `first`: the first position that counts
 * @param {object} table of the site, with `histograms` and `statistics`
 * @param {boolean} isSigned whether low activations mean something
 * @returns {{unit: number, value: number, position: number, share: number, isLow: boolean}[]} the most unusual first
 */
export function unusualUnits({ values, units, strings, first }, { histograms, statistics }, isSigned) {
  const found = [];
  for (let unit = 0; unit < units; unit++) {
    let [high, low] = [first, first];
    for (let at = first + 1; at < strings.length; at++) {
      if (values[at * units + unit] > values[high * units + unit]) high = at;
      if (values[at * units + unit] < values[low * units + unit]) low = at;
    }
    if (high >= strings.length) continue;
    const one = (position, isLow) => {
      const value = values[position * units + unit];
      return { unit, value, position, isLow, share: shareBeyond(histograms, statistics, unit, value, isLow) };
    };
    const above = one(high, false);
    if (isSigned) {
      const below = one(low, true);
      found.push(below.share < above.share ? below : above);
    } else if (above.value > 0) {
      found.push(above);
    }
  }
  const size = ({ unit, value }) => Math.abs(value) / (Math.abs(statistics.maximum[unit]) || 1);
  return found.sort((a, b) => a.share - b.share || size(b) - size(a) || a.unit - b.unit);
}

function shareBeyond({ edges, counts }, { maximum, minimum }, unit, value, isLow) {
  if (isLow ? value < minimum[unit] : value > maximum[unit]) return 0;
  const [first, ...bins] = counts[unit];
  const own = Math.max(binOf(edges, asHalf(value)) - first, 0);
  const total = sum(bins);
  return total ? sum(isLow ? bins.slice(0, own + 1) : bins.slice(own)) / total : 0;
}

/** The bin in which a number lies. A bin has its lower border if positive, its upper border if negative. */
function binOf(edges, value) {
  let [low, high] = [0, edges.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (value < 0 ? edges[middle] < value : edges[middle] <= value) low = middle;
    else high = middle;
  }
  return low;
}

/** The nearest number in half precision, in which bins were chosen. */
function asHalf(value) {
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value) || 1e-9)), -14) - 10);
  const whole = Math.floor(value / step);
  const rest = value / step - whole;
  return step * (rest > 0.5 || (rest === 0.5 && whole % 2 !== 0) ? whole + 1 : whole);
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
