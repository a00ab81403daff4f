"""The speed: kernels, which the runner calls with rows of a program (see `program.machine`).

Read `functional` first. Where it has a formula, `chain` executes the operations that the formula
consists of; only the updates of SGD, RMSprop and Adam are written out, to read and write memory
once. The other kernels are those that loops of NumPy operations cannot express well:

- `matrix_product`: the three products of a dense layer, in tiles that fill the vector registers;
- `csr`: the same for the first layer, of whose inputs only the non-zeros are computed with;
- `learn`: the gradient of some rows of a kernel and their update, while they are in the cache;
- `chain`, `elementary`: elementwise operations on blocks that fit the first-level cache;
- `random_numbers`: NumPy's random numbers;
- `moving_elements`: copies of elements, and rows of tables;
- `csr_conversion`: data becomes compressed rows;
- `step_results`: scalars from and to memory;
- `runner`: executes rows, many steps in one call, with several threads.

All have one signature (`row`), allocate nothing and raise nothing, so that their machine code is
kept in files and loaded without Numba (`object_code`, `compile_cache`, `compiler`). `simd` writes
LLVM's vector instructions: 16 lanes in a fixed order and fused multiply-add, so that the bits are
the same on every x86-64 processor with AVX2.
"""
