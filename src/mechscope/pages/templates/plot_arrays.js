// The arrays of a figure: lists, or bytes in base 64 with a type and a shape as Plotly has them. Pictures are whole
// numbers with a `scale`, which Plotly does not know (see `pages.figures`).
(() => {
  const types = {
    f8: Float64Array, f4: Float32Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array,
    i4: Int32Array, u4: Uint32Array,
  };

  function values(entry) {
    if (Array.isArray(entry)) return entry;
    if (!entry?.bdata) return null;
    const bytes = Uint8Array.from(atob(entry.bdata), (letter) => letter.charCodeAt(0));
    const flat = Array.from(new types[entry.dtype](bytes.buffer), (value) => value * (entry.scale ?? 1));
    if (!entry.shape) return flat;
    const width = Number(String(entry.shape).split(",").at(-1));
    return Array.from({ length: flat.length / width }, (_, row) => flat.slice(row * width, (row + 1) * width));
  }

  // A trace as Plotly reads it.
  function unscaled(trace) {
    return Object.fromEntries(Object.entries(trace).map(([name, value]) => [name, value?.scale ? values(value) : value]));
  }

  window.mechscopePlots = { values, unscaled };
})();
