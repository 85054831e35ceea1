// Numbers in half precision.

let table = null; // every one of the 65,536 numbers, made when it is first needed

/** The numbers of an array of 16 bits each. */
export function halvesToFloats(halves) {
  table ??= Float32Array.from({ length: 65_536 }, (_, bits) => halfToFloat(bits));
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) floats[i] = table[halves[i]];
  return floats;
}

/** The number that 16 bits stand for (IEEE 754 binary16). */
function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
