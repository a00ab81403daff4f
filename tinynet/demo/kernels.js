"use strict";

// WebAssembly twins of the functions of functional.js in which training spends most of its time.
// They compute with vectors of four float32 numbers.

const TILE = 16; // units whose sums are kept in four vector registers

const KERNELS = (() => {
  const { I32, F32, V128, get, set, int, plus, times, read16, loop } = wasm;
  const { load, store, load_splat, splat, number, add, sub, mul, div, sqrt, above, define } = wasm;
  const square = (a) => mul(a, a);
  /** Set tiny values to 0: denormal numbers are slow to compute with. */
  const flushed = (a) => above(a, 1e-30);

  /** For each tile of 16 units and each pixel of an image, write the instructions of `body`. */
  const sparse = (before, body, after) =>
    define(Array(6).fill(I32), (local, y, kernel, pixels, values, end, stride) => {
      const sums = [0, 1, 2, 3].map(() => local(V128)), value = local(V128);
      const row = local(I32), pixel = local(I32), at = local(I32), last = local(I32);
      return [
        set(last, plus(get(y), get(stride))),
        loop([
          before(sums, y),
          set(pixel, get(pixels)), set(at, get(values)),
          loop([
            set(row, plus(get(kernel), times(read16(get(pixel)), get(stride)))),
            set(value, load_splat(at)),
            body(sums, row, value),
            set(pixel, plus(get(pixel), int(2))), set(at, plus(get(at), int(4))),
          ], get(pixel), get(end)),
          after(sums, y),
          set(y, plus(get(y), int(4 * TILE))), set(kernel, plus(get(kernel), int(4 * TILE))),
        ], get(y), get(last)),
      ];
    });

  /** Define an elementwise update of arrays; parameters: addresses, size in bytes, scalars. */
  const elementwise = (arrays, scalars, formula) => {
    const types = [...Array(arrays + 1).fill(I32), ...Array(scalars).fill(F32)];
    return define(types, (local, ...given) => {
      const addresses = given.slice(0, arrays), size = given[arrays], end = local(I32);
      return [
        set(end, plus(get(addresses[0]), get(size))),
        loop([
          formula(...addresses, ...given.slice(arrays + 1).map(splat)),
          addresses.map((address) => set(address, plus(get(address), int(16)))),
        ], get(addresses[0]), get(end)),
      ];
    });
  };

  return {
    sparse_row: sparse(
      (sums, y) => sums.map((sum, i) => set(sum, load(y, 16 * i))),
      (sums, row, value) =>
        sums.map((sum, i) => set(sum, add(get(sum), mul(get(value), load(row, 16 * i))))),
      (sums, y) => sums.map((sum, i) => store(y, get(sum), 16 * i)),
    ),
    sparse_row_gradients: sparse(
      (sums, d_y) => sums.map((sum, i) => set(sum, load(d_y, 16 * i))),
      (sums, row, value) =>
        sums.map((sum, i) => store(row, add(load(row, 16 * i), mul(get(value), get(sum))), 16 * i)),
      () => [],
    ),
    sgd: elementwise(2, 1, (w, d_w, rate) => store(w, sub(load(w), mul(rate, load(d_w))))),
    sgd_momentum: elementwise(3, 2, (w, d_w, m, rate, momentum) => [
      store(m, flushed(sub(mul(momentum, load(m)), mul(rate, load(d_w))))),
      store(w, add(load(w), load(m))),
    ]),
    rmsprop: elementwise(3, 3, (w, d_w, v, rate, rho, epsilon) => [
      store(v, flushed(add(mul(rho, load(v)), mul(sub(number(1), rho), square(load(d_w)))))),
      store(w, sub(load(w), div(mul(rate, load(d_w)), sqrt(add(load(v), epsilon))))),
    ]),
    adam: elementwise(4, 4, (w, d_w, m, v, alpha, one_minus_beta_1, one_minus_beta_2, epsilon) => [
      store(m, flushed(add(load(m), mul(sub(load(d_w), load(m)), one_minus_beta_1)))),
      store(v, flushed(add(load(v), mul(sub(square(load(d_w)), load(v)), one_minus_beta_2)))),
      store(w, sub(load(w), div(mul(load(m), alpha), add(sqrt(load(v)), epsilon)))),
    ]),
  };
})();

/** Memory for arrays of training: WebAssembly memory, or none if the browser has no SIMD. */
class Memory {
  constructor(bytes) {
    this.used = 16;
    try {
      const memory = new WebAssembly.Memory({ initial: Math.ceil((bytes + 64) / 65536) });
      const module = new WebAssembly.Module(wasm.assemble(KERNELS));
      this.kernels = new WebAssembly.Instance(module, { page: { memory } }).exports;
      this.buffer = memory.buffer;
    } catch (error) {
      console.info(`Training without WebAssembly: ${error.message}`);
      this.kernels = null;
    }
  }

  /** Return a new array of zeros; the addresses are multiples of 16. */
  array(Type, length) {
    if (!this.kernels) return new Type(length);
    const array = new Type(this.buffer, this.used, length);
    this.used += Math.ceil(array.byteLength / 16) * 16;
    return array.fill(0);
  }

  /** Apply the kernel with this name, or its twin in functional.js, to row n of y and an image. */
  sparse(name, twin, y, n, kernel, units, { pixels, values, starts }, image) {
    const start = starts[image], end = starts[image + 1];
    if (!this.kernels || units % TILE) {
      const row = y.subarray(n * units, (n + 1) * units);
      twin(row, kernel, pixels.subarray(start, end), values.subarray(start, end));
    } else if (start < end) {
      this.kernels[name](
        y.byteOffset + 4 * n * units, kernel.byteOffset, pixels.byteOffset + 2 * start,
        values.byteOffset + 4 * start, pixels.byteOffset + 2 * end, 4 * units);
    }
  }

  /** Call an optimizer; its arrays have the same length, a multiple of 4. */
  update(name, twin, arrays, scalars) {
    if (!this.kernels) return twin(...arrays, ...scalars);
    const addresses = arrays.map((array) => array.byteOffset);
    return this.kernels[name](...addresses, arrays[0].byteLength, ...scalars);
  }
}
