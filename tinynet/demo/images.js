"use strict";

// The training and test images, without their zeros: CSR format, as in tinynet.sparse. Image n has
// the pixels `pixels[starts[n]]` to `pixels[starts[n + 1] - 1]`, and the corresponding `values`.

const LEVELS = 15; // shades of a stored pixel, which has 4 bits

class Images {
  constructor(memory, count, pixels) {
    this.count = 0;
    this.starts = new Uint32Array(count + 1);
    this.labels = new Uint8Array(count);
    this.pixels = memory.array(Uint16Array, pixels);
    this.values = memory.array(Float32Array, pixels);
    this.unit = 1 / LEVELS; // value of the lowest shade
  }

  /** Append an image of 784 shades from 0 to LEVELS. */
  push(shades, label) {
    let end = this.starts[this.count];
    shades.forEach((shade, pixel) => {
      if (shade === 0) return;
      this.pixels[end] = pixel;
      this.values[end++] = shade * this.unit;
    });
    this.labels[this.count++] = label;
    this.starts[this.count] = end;
  }

  /** Scale all pixels to values from 0 to `most`. */
  scale(most) {
    const unit = most / LEVELS;
    if (unit === this.unit) return;
    this.values.forEach((value, i) => (this.values[i] = Math.round(value / this.unit) * unit));
    this.unit = unit;
  }
}

/**
 * Decode the images of the page: base64, compressed with zlib, two pixels per byte. Return them
 * and the memory that holds them, with room for `extra` images and `reserved` bytes.
 */
async function decodeImages(stored, extra, reserved) {
  const stream = new Blob([bytesOf(stored.pixels)]).stream();
  const unzipped = stream.pipeThrough(new DecompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(unzipped).arrayBuffer());
  const labels = bytesOf(stored.labels);
  let pixels = 0;
  for (const byte of packed) pixels += (byte >> 4 > 0) + ((byte & 15) > 0);
  const memory = new Memory(6 * (pixels + 784 * extra) + reserved);
  const images = new Images(memory, labels.length + extra, pixels + 784 * extra);
  const shades = new Uint8Array(784);
  labels.forEach((label, n) => {
    for (let i = 0; i < 392; i++) {
      const byte = packed[392 * n + i];
      shades[2 * i] = byte >> 4;
      shades[2 * i + 1] = byte & 15;
    }
    images.push(shades, label);
  });
  images.name = stored.name;
  return { memory, images };
}
