// The colour scales of the house style (viz/palette.py, which a test compares with these), for light and dark pages.

export const SCALES = {
  light: {
    sequential: ["#f6f8fb", "#c8dcef", "#7fb3d9", "#2f7fbd", "#0b4f8a", "#062f57"],
    diverging: ["#053f7a", "#2f7fbd", "#a9cde6", "#f7f7f5", "#f8c9a8", "#dd6a2b", "#8a2f05"],
  },
  dark: {
    sequential: ["#171c24", "#17395a", "#1f5f97", "#3f92d2", "#86c3f0", "#e2f2ff"],
    diverging: ["#b5dcff", "#4f9fdc", "#1f4a73", "#171c24", "#6e3516", "#e07a3a", "#ffd0ab"],
  },
};
const tables = new WeakMap(); // scale → its table of pixels
const LEVELS = 257; // odd, so that 0 has a level of its own on a diverging scale

/** Whether an element is on a dark page: the reader's choice, or else a notebook's theme, or else the system's. */
export function isDark(element) {
  const themed = element?.closest?.("[data-theme]") ?? document.documentElement;
  const choice = themed.dataset.theme ?? notebookTheme();
  return choice ? choice === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** "light" or "dark" as JupyterLab, VS Code or Colab mark the pages of notebooks; undefined elsewhere. */
export function notebookTheme() {
  const { jpThemeLight, vscodeThemeKind } = document.body?.dataset ?? {};
  if (jpThemeLight) return jpThemeLight === "true" ? "light" : "dark";
  if (vscodeThemeKind) return /dark|high-contrast$/.test(vscodeThemeKind) ? "dark" : "light";
  return document.documentElement.getAttribute("theme") ?? undefined;
}

/** The colour [red, green, blue] of a share from 0 to 1 on a scale of "#rrggbb" stops; outside, that of the nearer end. */
export function colourAt(scale, share) {
  const where = Math.min(Math.max(Number.isFinite(share) ? share : 0, 0), 1) * (scale.length - 1);
  const index = Math.min(Math.floor(where), scale.length - 2);
  const [below, above] = [channels(scale[index]), channels(scale[index + 1])];
  return below.map((low, i) => Math.round(low + (where - index) * (above[i] - low)));
}

function channels(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

/**
 * The colour scale of some values: diverging around 0 if it reaches below 0, otherwise sequential. A diverging scale has
 * the same length on both sides, so that equal colours mean equal sizes.
 * @param {Iterable<number>} values what it must cover; numbers that are not finite are left out
 * @param {boolean} dark whether the page is dark
 * @param {object} options
 * @param {number} [options.minimum] its lower end, instead of the smallest value (or 0, if none is negative)
 * @param {number} [options.maximum] its upper end, instead of the largest value
 * @param {string} [options.positive] "#rrggbb" for the upper end, instead of the house style's colours
 * @param {string} [options.negative] "#rrggbb" for the lower end of a diverging scale
 * @returns {{low: number, high: number, colour: (value: number) => number[]}} `colour` gives [red, green, blue]
 */
export function scaleFor(values, dark, { minimum, maximum, positive, negative } = {}) {
  let [low, high] = [Infinity, -Infinity];
  if (minimum == null || maximum == null) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  low = minimum ?? Math.min(low, 0);
  high = maximum ?? high;
  const scales = SCALES[dark ? "dark" : "light"];
  if (low < 0) {
    const size = Math.max(-low, high) || 1;
    const { diverging } = scales;
    const half = diverging.length >> 1;
    const below = negative ? [negative, diverging[half]] : diverging.slice(0, half + 1);
    const above = positive ? [diverging[half], positive] : diverging.slice(half);
    const colour = (value) => (value < 0 ? colourAt(below, 1 + value / size) : colourAt(above, value / size));
    return { low: -size, high: size, colour };
  }
  if (!(high > low)) high = low + 1;
  const stops = positive ? [scales.sequential[0], positive] : scales.sequential;
  return { low, high, colour: (value) => colourAt(stops, (value - low) / (high - low)) };
}

/** The colours of a scale as a table of pixels, and the index in it of each value: fast for large maps. */
export function pixelTable(scale) {
  if (tables.has(scale)) return tables.get(scale);
  const { low, high, colour } = scale;
  const pixels = new Uint32Array(LEVELS);
  for (let level = 0; level < LEVELS; level++) {
    const [red, green, blue] = colour(low + ((high - low) * level) / (LEVELS - 1));
    pixels[level] = (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  }
  const factor = (LEVELS - 1) / (high - low);
  const table = { pixels, level: (value) => Math.min(Math.max(Math.round((value - low) * factor), 0), LEVELS - 1) };
  tables.set(scale, table);
  return table;
}

export function asCss([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

/** Black or white, whichever can be read on the colour (WCAG's relative luminance). */
export function textOn(rgb) {
  const [red, green, blue] = rgb.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
}
