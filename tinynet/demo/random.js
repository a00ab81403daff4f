"use strict";

// The seeded random generator: xorshift32 (Marsaglia, "Xorshift RNGs", 2003). The same seed gives
// the same numbers in every browser, so a restart reproduces the same curve. The numbers differ
// from those of tinynet, which uses NumPy's generators.

class Random {
  /** Start from a seed; the factor of Knuth's multiplicative hash separates similar seeds. */
  constructor(seed) {
    this.state = Math.imul(seed + 1, 2654435761) | 0 || 1;
    for (let i = 0; i < 8; i++) this.next();
  }

  /** Return the next 32 bits as an integer from 1 to 2 ** 32 - 1. */
  next() {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  /** Return a number from 0 (inclusive) to 1 (exclusive). */
  uniform() {
    return (this.next() - 1) / 2 ** 32;
  }

  /** Shuffle an array in place (Fisher and Yates). */
  shuffle(values) {
    for (let i = values.length - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1)), kept = values[i];
      values[i] = values[j];
      values[j] = kept;
    }
    return values;
  }
}
