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
const parsed = new Map();

/** Whether an element is on a dark page: the reader's choice, or else the system's. */
export function isDark(element) {
  const themed = element?.closest?.("[data-theme]") ?? document.documentElement;
  const choice = themed.dataset.theme;
  return choice ? choice === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** A colour [red, green, blue] for a share from 0 to 1; values outside take the nearest end. */
export function colourAt(scale, share) {
  if (!parsed.has(scale)) parsed.set(scale, scale.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16))));
  const stops = parsed.get(scale);
  const where = Math.min(Math.max(Number.isFinite(share) ? share : 0, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(where), stops.length - 2);
  return stops[index].map((low, i) => Math.round(low + (where - index) * (stops[index + 1][i] - low)));
}

/** The scale for values: diverging around 0 if any is negative. Returns a function value → [red, green, blue]. */
export function scaleFor(values, dark, { minimum, maximum } = {}) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  low = minimum ?? low;
  high = maximum ?? high;
  const scales = SCALES[dark ? "dark" : "light"];
  if (low < 0) {
    const size = Math.max(-low, high) || 1;
    return { low: -size, high: size, colour: (value) => colourAt(scales.diverging, (value / size + 1) / 2) };
  }
  const top = high > 0 ? high : 1;
  return { low: 0, high: top, colour: (value) => colourAt(scales.sequential, value / top) };
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
