// Shares in words.

/** A share as a percentage. */
export function percent(share) {
  const value = 100 * share;
  return value > 0 && value < 0.05 ? "< 0.1 %" : `${value.toFixed(1)} %`;
}
