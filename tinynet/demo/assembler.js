"use strict";

// An assembler for WebAssembly, as far as kernels.js needs it. Instructions are nested arrays of
// bytes, written by the small functions below and assembled when the page is opened. The bytes are
// listed in the chapter "Binary Format" of the WebAssembly specification; sizes are in bytes.

const wasm = (() => {
  const I32 = 0x7f, F32 = 0x7d, V128 = 0x7b, BLOCK = 0x40, END = 0x0b;

  /** Encode an integer in groups of 7 bits (LEB128), unsigned or signed. */
  const unsigned = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...unsigned(n >>> 7)]);
  const signed = (n) => (n >= -64 && n < 64 ? [n & 127] : [(n & 127) | 128, ...signed(n >> 7)]);

  const get = (local) => [0x20, local];
  const set = (local, value) => [value, 0x21, local];
  const int = (n) => [0x41, signed(n)];
  const plus = (a, b) => [a, b, 0x6a];
  const times = (a, b) => [a, b, 0x6c];
  const read16 = (address) => [address, 0x2f, 1, 0];
  /** Repeat the body while a < b after it. */
  const loop = (body, a, b) => [0x03, BLOCK, body, a, b, 0x49, 0x0d, 0, END];

  const simd = (code, ...rest) => [0xfd, unsigned(code), ...rest];
  const load = (address, offset = 0) => [get(address), simd(0x00, 2, offset)];
  const store = (address, value, offset = 0) => [get(address), value, simd(0x0b, 2, offset)];
  const load_splat = (address) => [get(address), simd(0x09, 2, 0)];
  const splat = (scalar) => [get(scalar), simd(0x13)];
  const binary = (code) => (a, b) => [a, b, simd(code)];
  const add = binary(0xe4), sub = binary(0xe5), mul = binary(0xe6), div = binary(0xe7);
  const sqrt = (a) => [a, simd(0xe3)];
  const number = (x) => [0x43, ...new Uint8Array(Float32Array.of(x).buffer), simd(0x13)];
  /** Return a if its absolute value exceeds `least`, else 0. */
  const above = (a, least) => [a, a, simd(0xe0), number(least), simd(0x44), simd(0x4e)];

  /** Define a function with parameters of these types; `write` returns its instructions. */
  function define(parameters, write) {
    const locals = [], local = (type) => parameters.length + locals.push(type) - 1;
    const body = write(local, ...parameters.keys());
    const code = [unsigned(locals.length), locals.map((type) => [1, type]), body, END].flat(Infinity);
    return { type: [0x60, parameters.length, ...parameters, 0], code: [unsigned(code.length), code] };
  }

  /** Assemble a module that imports a memory and exports functions by name. */
  function assemble(functions) {
    const text = (name) => [name.length, Array.from(name, (letter) => letter.charCodeAt(0))];
    const section = (id, entries) => {
      const body = [unsigned(entries.length), entries].flat(Infinity);
      return [id, unsigned(body.length), body];
    };
    const names = Object.keys(functions), all = Object.values(functions);
    return Uint8Array.from([
      [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, all.map(({ type }) => type)),
      section(2, [[text("page"), text("memory"), 0x02, 0x00, 1]]),
      section(3, names.map((_, i) => [i])),
      section(7, names.map((name, i) => [text(name), 0x00, i])),
      section(10, all.map(({ code }) => code)),
    ].flat(Infinity));
  }

  return {
    I32, F32, V128, get, set, int, plus, times, read16, loop, load, store, load_splat, splat,
    number, add, sub, mul, div, sqrt, above, define, assemble,
  };
})();
