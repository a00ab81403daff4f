"""Compiled kernels, called by the runner for the rows of a program (see `program.machine`).

Read `functional` first. `chain` executes the elementwise operations of its formulas; only the
updates of SGD, RMSprop and Adam are implemented as single operations, so that they read and write
memory once. All other kernels are loops that NumPy operations cannot express efficiently:

- `matrix_product`: the three matrix products of a dense layer, in register tiles;
- `csr`: the same products for a CSR batch, computed from the non-zeros only;
- `learn`: the gradient of a block of kernel rows and their update, while the block is in the cache;
- `chain`, `elementary`: elementwise operations on blocks that fit in the L1 cache;
- `random_numbers`: NumPy's random numbers;
- `moving_elements`: strided copies, and lookups of table rows;
- `csr_conversion`: conversion of dense rows to CSR;
- `step_results`: reading and writing scalars;
- `runner`: executes the rows of many steps in one call, on several threads.

All kernels have the same signature (`row`) and neither allocate memory nor raise exceptions. So
their machine code can be cached in files and loaded without Numba (`object_code`, `compile_cache`,
`compiler`). `simd` emits LLVM vector instructions: 16 lanes in a fixed order and explicit fused
multiply-adds make results bit-identical on all x86-64 processors with AVX2.
"""
