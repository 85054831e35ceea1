// Read a safetensors file: a header of names, types and shapes, and then the numbers of every tensor.

import { halvesToFloats } from "./float16.js";

const READERS = {
  F64: (view) => Float32Array.from(new Float64Array(view)),
  F32: (view) => new Float32Array(view),
  F16: (view) => halvesToFloats(new Uint16Array(view)),
  BF16: (view) => bfloat16ToFloat32(new Uint16Array(view)),
  I16: (view) => Float32Array.from(new Int16Array(view)),
  I8: (view) => Float32Array.from(new Int8Array(view)),
  U8: (view) => Float32Array.from(new Uint8Array(view)),
};
const MAX_HEADER = 25_000_000;

/** A tensor: its shape, and its numbers with the last axis contiguous. */
export class Tensor {
  constructor(shape, data = new Float32Array(shape.reduce((a, b) => a * b, 1))) {
    this.shape = shape;
    this.data = data;
  }

  clone() {
    return new Tensor([...this.shape], this.data.slice());
  }
}

/**
 * The tensors of a safetensors file in float32.
 * @param {ArrayBuffer} buffer the whole file
 * @returns {Map<string, Tensor>} name → tensor
 * @throws {Error} if the file is truncated or holds types that are not listed above
 */
export function readSafetensors(buffer) {
  if (buffer.byteLength < 8) throw new Error(`a safetensors file has at least 8 bytes, not ${buffer.byteLength}.`);
  const headerBytes = Number(new DataView(buffer).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER || 8 + headerBytes > buffer.byteLength) {
    throw new Error("the safetensors file is truncated or damaged: its header does not fit.");
  }
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headerBytes)));
  const tensors = new Map();
  delete header.__metadata__;
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(header)) {
    const read = READERS[dtype];
    if (!read) throw new Error(`tensor ${name} has type ${dtype}; the browser reads ${Object.keys(READERS).join(", ")}.`);
    const first = 8 + headerBytes + start;
    const last = 8 + headerBytes + end;
    if (last > buffer.byteLength) throw new Error(`the safetensors file is truncated: ${name} is incomplete.`);
    const data = read(buffer.slice(first, last)); // a copy: typed arrays need aligned offsets
    const size = shape.reduce((a, b) => a * b, 1);
    if (data.length !== size) throw new Error(`${name} has ${data.length} numbers, but its shape needs ${size}.`);
    tensors.set(name, new Tensor(shape, data));
  }
  return tensors;
}

function bfloat16ToFloat32(halves) {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}
