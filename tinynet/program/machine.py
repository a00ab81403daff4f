"""Machine: allocates registers and lays out the rows that execute a lowered program."""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import config
from tinynet._core.buffers import Workspace, address_of, aligned
from tinynet.config import COMPILES
from tinynet.kernels import (
    chain,
    csr,
    learn,
    matrix_product,
    moving_elements,  # noqa: F401  # called by rows
    object_code,
    random_numbers,
    runner,
    step_results,  # noqa: F401  # called by rows
)
from tinynet.kernels.kernel_function import FIRST, KERNELS, WORDS
from tinynet.kernels.row import Kernel
from tinynet.program.formula import BATCH, OF_ROWS, REDUCTIONS, SCALAR, Node, Traced, placement
from tinynet.program.lowering import (
    Call,
    Group,
    Lowering,
    Patch,
    PythonCall,
    Register,
    Scratch,
)
from tinynet.program.row_order import Table, uses_of

#: Minimum number of multiplications per step for which the GIL is released, so that other Python
#: threads can run.
_LONG = 1 << 20
_SUMS = {"sum_col": chain.SUM_COL, "sum_all": chain.SUM_ALL, "sum_squares": chain.SUM_ALL}


class Code:
    """Operations and slots of one chain; slots refer to values, not yet to addresses."""

    def __init__(self, group: Group, machine: Machine) -> None:
        assert group.space is not None
        self.space, self.machine = group.space, machine
        self.is_update = group.tag is not None
        #: Kind, value and index of the temporary of each slot.
        self.slots: list[tuple[int, Any, int]] = []
        self.code: list[list[int]] = []
        self.temps = 0
        self._of: dict[Any, int] = {}
        nodes = group.nodes
        own, operations = set(nodes), {node.operation for node in nodes}
        self.reduces_rows = not operations.isdisjoint(OF_ROWS)
        by_row = not operations.isdisjoint(REDUCTIONS) or any(
            placement(i, self.space) in ("row", "column") for node in nodes for i in node.inputs
        )
        self.has_rows = by_row and self.space.columns != 1
        last = {i: k for k, node in enumerate(nodes) for i in node.inputs}
        stores = {}

        def may_overwrite(value: Node, variable: Any) -> bool:
            """Return whether no later node reads the old value of the Variable."""
            return value in own and not any(
                i.operation == "leaf" and i.source is variable
                for n in nodes[nodes.index(value) + 1 :]
                for i in n.inputs
            )

        for node in nodes:
            if node.operation != "store":
                continue
            (value,) = node.inputs
            free = value not in stores and value.operation not in _SUMS and not value.is_row
            # A Python call may change the Variable before the value is read again.
            free = free and not (machine.has_python and machine.is_needed(value, group))
            if free and may_overwrite(value, node.source):
                stores[value] = node.source
        for node in nodes:
            if node.is_update:
                stores[node] = node.source[0]
                w, _, *slots = node.inputs[: 1 + len(node.source)]
                places = [self.slot(chain.INOUT, v) for v in node.source]
                self._of |= dict(zip(slots, places[1:], strict=True))
                if w.operation == "leaf" or may_overwrite(w, node.source[0]):
                    self._of[w] = places[0]
                self._of[node] = places[0]
        self.stored = stores
        free_temps: list[int] = []
        held: dict[Node, int] = {}
        for k, node in enumerate(nodes):
            if node.operation == "store" and stores.get(node.inputs[0]) is node.source:
                continue
            inputs = [self.read(i, own) for i in node.inputs]
            if node.is_update:
                count = 1 + len(node.source)
                # The kernel's optimizer loop requires whole contiguous arrays.
                kinds = {placement(i, self.space) for i in node.inputs[:count]}
                assert self.space.size == 1 or kinds == {"full"}, node
                arrays, rest = inputs[:count], inputs[count:]
                if arrays[0] != self._of[node]:  # the decayed weight has another slot
                    self.add("copy", self._of[node], arrays[0])
                    arrays[0] = self._of[node]
                self.add(node.operation, *arrays)
                self.add("operands", *rest)
                continue
            operation, is_row = node.operation, node.is_row and self.has_rows
            dying = [i for i in {*node.inputs} if i in held and last[i] == k]
            if operation in _SUMS:
                to = self.slot(_SUMS[operation], node)
            elif operation == "store":
                operation, to = "copy", self.slot(chain.OUT, node.source)
            elif node in self._of:  # in place, before an optimizer step
                to = self._of[node]
            elif node in stores:
                to = self._of[node] = self.slot(chain.OUT, stores[node])
            elif machine.is_needed(node, group):
                to = self._of[node] = self.slot(chain.ROW_OUT if is_row else chain.OUT, node)
            else:
                # An operand of the same kind may be overwritten element by element.
                same = [i for i in dying if i.is_row == node.is_row]
                free_temps += [held.pop(i) for i in same]
                dying = [i for i in dying if i not in same]
                held[node] = temp = free_temps.pop() if free_temps else self.temp()
                kind = chain.ROW_TEMP if is_row else chain.TEMP
                to = self._of[node] = self.slot(kind, None, temp)
            free_temps += [held.pop(i) for i in dying]
            self.add(operation, to, *inputs)

    @property
    def mode(self) -> int:
        """Mode of the kernel `chain`: `FLAT`, `ROWS` or `COLUMNS`."""
        kinds = {kind for kind, *_ in self.slots}
        of_rows = self.reduces_rows or not kinds.isdisjoint({chain.SUM_ALL, chain.ROW_OUT})
        if chain.SUM_COL in kinds and not of_rows and self.space.columns % 16 == 0:
            return chain.COLUMNS
        return chain.ROWS if self.has_rows else chain.FLAT

    def temp(self) -> int:
        """Allocate a temporary; return its index."""
        self.temps += 1
        return self.temps - 1

    def slot(self, kind: int, what: Any, temp: int | None = None) -> int:
        """Add a slot, by default with a new temporary; return its index."""
        assert len(self.slots) < chain.SLOTS, "a chain with too many values"
        self.slots.append((kind, what, self.temp() if temp is None else temp))
        return len(self.slots) - 1

    def add(self, operation: str, *slots: int) -> None:
        """Append an operation on slots."""
        number = chain.OPERATIONS[operation].number
        self.code.append([number, *slots, *[0] * (4 - len(slots))])

    def read(self, node: Node, own: set[Node]) -> int:
        """Return the slot of an operand."""
        if node in self._of:
            return self._of[node]
        assert node not in own, node
        place = placement(node, self.space)
        source = node.source if node.operation == "leaf" else None
        kind, temp = chain.IN, None
        if isinstance(source, tuple) and source[0] == "columns":
            kind, temp = chain.INDEX, 0
        elif place == "scalar":
            kind, temp = chain.SCALAR, 0
        elif place == "column" and self.has_rows:
            kind = chain.COL
        elif isinstance(source, Register) and source.itemsize == 8:
            kind = chain.LABEL
        elif place == "row" and self.has_rows:
            kind = chain.ROW
        self._of[node] = self.slot(kind, node, temp)
        return self._of[node]


class Machine:
    """Rows of a lowered program, for batches up to a maximum size.

    It owns the memory of rows, registers and constants: rows hold raw addresses, which are valid as
    long as the machine lives. `results` are the nodes to be read after a call, by name.
    """

    def __init__(self, low: Lowering, results: dict[Any, Node]) -> None:
        self.groups, self._shapes = [*low.groups], low.shapes
        self.results = results
        self.has_python = any(g.call is not None and g.call.python for g in self.groups)
        self._group_of = {n: g for g in self.groups for n in g.nodes}
        self._outside: set[Node] = set(results.values())
        for group in self.groups:
            for node in group.nodes:
                self._outside.update(i for i in node.inputs if self._group_of.get(i) is not group)
            if group.call is not None:
                self._outside.update(group.call.reads)
        #: Index of the last group that reads or writes each register, by owner.
        self._last: dict[Any, int] = {}
        for k, group in enumerate(self.groups):
            used = [i for node in group.nodes for i in node.inputs]
            used += [] if group.call is None else [*group.call.reads, *group.call.writes]
            self._last.update((_owner(node), k) for node in used)
        self._last.update((_owner(node), len(self.groups)) for node in results.values())
        #: Upper bound on the number of per-step scalars.
        self._most_numbers = sum(
            isinstance(owner, Node) and isinstance(owner.source, tuple) for owner in self._last
        )
        self.codes: list[Any] = [Code(g, self) if g.nodes else None for g in self.groups]
        #: Maximum batch size and number of threads; 0 before `build`.
        self.batch = self.threads = 0

        #: Workspaces of Python calls, and the results of these calls in the current step, by symbol
        #: id.
        self.work = Workspace()
        self.objects: dict[int, Any] = {}

    @property
    def is_in_place(self) -> bool:
        """Whether no Variable's array was replaced after the rows were laid out."""
        return all(variable.array is array for variable, array in self.variables)

    def is_needed(self, node: Node, group: Group) -> bool:
        """Return whether a value is read outside of its group."""
        return node in self._outside

    # ------------------------------------------------------------ memory

    def build(self, batch: int, threads: int) -> None:
        """Allocate registers for a batch size and a number of threads, and lay out the rows."""
        self.batch = batch
        self._registers: dict[Any, Any] = {}
        self._taken: set[Any] = set()  # owners of registers that are reused
        self._parts: list[Any] = []
        self._set: dict[str, int] = {}
        # The step block, and a count of 1 for values without a batch axis.
        self.step = self._array(8, np.int64)
        self.one = self._array(8, np.int64)
        self.one[0] = 1
        #: Index of each per-step scalar in its array of splats (16 equal lanes per scalar).
        self._counts: dict[Any, int] = {}
        self._numbers: dict[Any, int] = {}
        most = 16 * self._most_numbers
        self._count_splats, self._number_splats = (self._array(most, np.float32) for _ in range(2))
        self.variables: list[tuple[Any, Any]] = []
        self.patches: dict[str, list[tuple[Any, tuple[int, int]]]] = {}
        rows: list[tuple[str, dict[str, Any]]] = []
        calls: list[tuple[int, PythonCall]] = []  # each with the number of rows before it
        shares: list[list[int]] = []  # element counts of the groups of each row
        self.threads = threads
        self._get_kernels()
        joint = self._joint_updates() if config.is_enabled("join") else {}
        for k, (group, code) in enumerate(zip(self.groups, self.codes, strict=True)):
            if group.call is None:
                if joint.get(k) == 0:
                    shares[-1].append(code.space.size)
                    continue
                words, size = self._chain_words(code)
                words |= {"per": 1, "cols": joint[k]} if k in joint else {}
                rows.append(("chain", words))
            elif group.call.python is not None:
                calls.append((len(rows), group.call.python))
                for node in group.call.writes:
                    self.address(node)
                continue
            else:
                name, words = self._call_words(group.call, code)
                size = 0
                own = kernel_named(name).words
                if "gradient" in own:
                    words["gradient_size"] = learn.gradient_size(words["u"])
                    words["gradient"] = self._bytes(words["gradient_size"] * self.threads)
                if "product" in own:
                    words["product"] = kernel_named("product").address
                if "room" in own:
                    size = self._room_size(name)
                if "update" in own:
                    words |= self._update_words(code, group.call.gradient, words)
                rows.append((name, words))
            shares.append([group.space.size if group.space else 1])
            if size:  # scratch memory per thread
                words["room"], words["room_size"] = self._bytes(size * self.threads), size
        first, before = self._begin_words(), 1
        if self._counts:
            before += 1
            pers = np.array([*self._counts], np.int64)
            words = {
                "step": address_of(self.step), "pers": self._constant(pers),
                "out": address_of(self._count_splats), "numbers": len(pers),
            }  # fmt: skip
            rows.insert(0, ("count_rows", words))
        rows.insert(0, ("begin", first))
        table = self._array(len(rows) * WORDS, np.int64).reshape(-1, WORDS)
        for k, (name, words) in enumerate(rows):
            for word, value in words.items():
                if isinstance(value, Patch):
                    place = table, (k, _position(name, word))
                    self.patches.setdefault(value.name, []).append(place)
                    words[word] = 0
            table[k] = kernel_named(name).row(**words)
        self.names = [name for name, _ in rows]
        self._shares = [[1]] * before + shares
        self.table = table
        arrays = [*self._parts, *(array for _, array in self.variables)] if threads > 1 else []
        blocks = [(address_of(array), array.nbytes) for array in arrays]
        step = address_of(self.step)
        uses = uses_of(table, self.names, step, batch, blocks)
        #: Segments of rows, and the Python calls between them.
        self.pieces: list[Table | PythonCall] = []
        start = 0
        for end, made in [*((before + k, made) for k, made in calls), (len(table), None)]:
            if end > start:
                self.pieces.append(Table(table[start:end], step, uses[start:end]))
            if made is not None:
                self.pieces.append(made)
            start = end

    def _get_kernels(self) -> None:
        """Load the machine code of all kernels together, so that they are compiled in parallel."""
        names = {g.call.kernel if g.call else "chain" for g in self.groups} - {"python"}
        names |= {"begin", "count_rows", "run"}
        if any(name.startswith("learn") for name in names):
            names.add("product")
        if self.threads > 1:
            _get(object_code.prepare, names)
            _get(functools.partial(object_code.prepare, later=True), {"run_with_workers", "work"})
        _get(object_code.addresses, names)

    def _joint_updates(self) -> dict[int, int]:
        """Fuse the updates of Variables that are contiguous in memory, such as those of a layer.

        Return the number of elements that the chain of each group updates, by group index; 0 if the
        chain of an earlier group includes it.
        """
        joint: dict[int, int] = {}
        kinds = [
            code.code
            if code and code.is_update and not (group.call or code.has_rows or code.space.batched)
            else None
            for group, code in zip(self.groups, self.codes, strict=True)
        ]
        for kind, run in itertools.groupby(range(len(kinds)), kinds.__getitem__):
            if kind is None:
                continue
            codes = {k: self.codes[k] for k in run}
            for values in zip(*(code.slots for code in codes.values()), strict=True):
                self._put_together([what for _, what, *_ in values])
            first, before = 0, None
            for k, code in codes.items():
                slots, size = self._slots(code, None, 0)[:, :2].tolist(), code.space.size
                if before is not None and _continues(before, joint[first], slots, size):
                    joint[first], joint[k] = joint[first] + size, 0
                else:
                    first, before, joint[k] = k, slots, size
        return joint

    def _put_together(self, values: list[Any]) -> None:
        """Allocate contiguous registers for the inputs of fused updates, such as gradients."""
        registers = {}
        for value in values:
            key = _owner(value) if isinstance(value, Node) else value
            register = key
            if isinstance(key, Node) and key in self._group_of and self._stored(key) is None:
                register = _register_of(key)
            is_register = isinstance(register, Register) and register.itemsize == 4
            if not is_register or register.given is not None or key in self._registers:
                return
            registers[key] = register.numbers(self.batch)
        if len(registers) == len(values) > 1:
            ends = [*itertools.accumulate(registers.values())]
            block = self._array(ends[-1] + 16, np.float32)
            pairs = zip(registers.items(), ends, strict=True)
            self._registers |= {key: block[end - size : end] for (key, size), end in pairs}

    def _chain_words(self, code: Any, fixed: Node | None = None, at: int = 0) -> Any:
        """Return the words of a chain, except its scratch memory, and the size of that memory."""
        mode, space = code.mode, code.space
        size = chain.room_size(space.columns, code.temps, mode)
        words = {
            "count": self._count(space.batched),
            "per": space.per, "cols": space.columns, "mode": mode,
            "code": self._constant(np.array(code.code, np.int64)), "ops": len(code.code),
            "slots": self._constant(self._slots(code, fixed, at)), "n_slots": len(code.slots),
            "offset": 0, "length": 16 if space == SCALAR and not code.is_update else -1,
            "flush": int(code.is_update), "room": None, "room_size": size,
        }  # fmt: skip
        return words, size

    def _update_words(self, code: Any, gradient: Any, own: dict[str, Any]) -> dict[str, Any]:
        """Return the words of `learn` that describe its update: a `chain` row for each part."""
        row = kernel_named("chain")
        subrows = self._array(WORDS * self.threads, np.int64)
        for part in range(self.threads):
            at = own["gradient"] + part * own["gradient_size"]
            words, size = self._chain_words(code, gradient, at)
            words["room"] = self._bytes(size)
            subrows[WORDS * part : WORDS * (part + 1)] = row.row(**words)
        offset, length = (FIRST + row.words.index(name) for name in ("offset", "length"))
        address = address_of(subrows)
        return {"update": row.address, "subrows": address, "offset": offset, "length": length}

    def _room_size(self, name: str) -> int:
        """Return the bytes of scratch memory that each part of a kernel needs."""
        if name == "linear_csr":
            return csr.csr_room_size(self.batch)
        return learn.room_size() if name.startswith("learn") else matrix_product.room_size()

    def _bytes(self, size: int) -> int:
        """Allocate a number of bytes; return the address."""
        return address_of(self._array(size // 8 + 8, np.int64))

    def _call_words(self, call: Call, code: Any) -> tuple[str, dict[str, Any]]:
        words: dict[str, Any] = {}
        own = kernel_named(call.kernel).words
        for name, value in call.words.items():
            if name == "batched":
                continue
            given = value.source if isinstance(value, Node) else value
            if isinstance(given, Register) and given.given is not None:
                value = Patch(given.given)
            elif isinstance(value, list):
                value = self._constant(np.array([self.address(v) for v in value], np.int64))
            elif isinstance(value, Node | Register | Scratch) or hasattr(value, "assign"):
                value = self.address(value)
            elif callable(value):
                value = value(self.batch)
            elif hasattr(value, "bit_generator"):
                value = random_numbers.state_address(value)
            words[name] = value
        if "count" in own:
            words["count"] = self._count(call.words.get("batched", True))
        if "step" in own:
            words["step"] = address_of(self.step)
        return call.kernel, words

    def _count(self, batched: bool) -> int:
        """Return the address of the number of examples, or of the constant 1 if not batched."""
        return address_of(self.step) + 16 if batched else address_of(self.one)

    def _begin_words(self) -> dict[str, Any]:
        return {
            "step": address_of(self.step), "batch": Patch("batch"), "examples": Patch("examples"),
            "scalars": Patch("numbers"), "splats": address_of(self._number_splats),
            "count": len(self._numbers),
        }  # fmt: skip

    def _slots(self, code: Code, gradient: Node | None, at: int) -> Any:
        table = np.zeros((len(code.slots), 4), np.int64)
        for k, (kind, what, temp) in enumerate(code.slots):
            address, fixed = 0, what is not None and what is gradient
            source = what.source if isinstance(what, Node) else what
            if fixed:
                address = at
            elif isinstance(source, Register) and source.given is not None:
                self.patches.setdefault(source.given, []).append((table, (k, 1)))
            elif what is not None:
                address = self.address(what)
            table[k] = kind, address, temp, fixed
        return table

    def _array(self, size: int, dtype: Any) -> Any:
        array = aligned((max(size, 1),), np.dtype(dtype))
        if dtype is np.int64:
            array.fill(0)
        self._parts.append(array)
        return array

    def _constant(self, array: Any) -> int:
        self._parts.append(array)
        return address_of(array)

    def address(self, what: Any) -> int:
        """Return the address of a node, register, Variable, array or per-step scalar."""
        return address_of(self.memory(what))

    def memory(self, what: Any) -> Any:
        """Return the array that holds a node, register, Variable, array or per-step scalar."""
        if isinstance(what, Node):
            return self._memory_of_node(what)
        if isinstance(what, Register | Scratch):
            if what not in self._registers:
                self._registers[what] = self._memory_of(what)
            return self._registers[what]
        if isinstance(what, tuple):
            return self._special(what)
        if isinstance(what, np.ndarray):
            self._parts.append(what)
            return what
        shape = self._shapes.get(id(what), what.array.shape)  # a Variable
        if what.array.shape != shape:
            raise what._misfit(shape)
        if what.array.dtype != np.float32:
            raise ValueError(
                f"{what.path} must keep its dtype float32. Received: dtype {what.array.dtype}"
            )
        if not what.array.flags.carray:
            what.array = np.array(what.array, order="C")
        if not any(v is what for v, _ in self.variables):
            self.variables.append((what, what.array))
        return what.array

    def _memory_of_node(self, node: Node) -> Any:
        if node.operation == "constant":
            return self._splat(node.source)
        if node.operation == "leaf":
            return self.memory(node.source)
        if node not in self._registers:
            if (stored := self._stored(node)) is not None:
                return self.memory(stored)
            reused = self._reused(node) if config.is_enabled("reuse") else None
            made = self._memory_of(_register_of(node)) if reused is None else reused
            self._registers[node] = made
        return self._registers[node]

    def _memory_of(self, what: Register | Scratch) -> Any:
        """Allocate a register, padded to whole vectors, or scratch memory of a kernel."""
        if isinstance(what, Scratch):
            return self._array(what.size(self.batch) // 8 + 8, np.int64)
        return self._array(what.numbers(self.batch) * what.itemsize // 4 + 16, np.float32)

    def _reused(self, node: Node) -> Any:
        """Return the register of an operand without later readers, to be reused; else None."""
        group = self._group_of[node]
        k, end = self.groups.index(group), group.nodes.index(node) + 1
        if node.is_row or not node.space.batched or node.result != node.space:
            return None
        later = {_owner(i) for n in group.nodes[end:] for i in n.inputs}
        for i in (i for n in group.nodes[:end] for i in n.inputs):
            owner = _owner(i)
            is_free = owner in self._registers and owner not in self._taken
            if not is_free or owner in later or self._last[owner] != k:
                continue
            own = [j for n in group.nodes for j in n.inputs if _owner(j) is owner]
            same = all(j.result == node.result and not j.is_row for j in own)
            if same and getattr(owner, "itemsize", 4) == 4:
                self._taken.add(owner)
                return self._registers[owner]
        return None

    def _splat(self, value: Any) -> Any:
        key = "splat", value.tobytes()  # -0.0 and 0.0 are different constants
        if key not in self._registers:
            array = self._array(16, np.float32)
            array.fill(value)
            self._registers[key] = array
        return self._registers[key]

    def _special(self, what: tuple[Any, ...]) -> Any:
        """Return the 16 lanes of a per-step scalar, or the array of column indices."""
        if what[0] == "columns":
            if what not in self._registers:
                array = self._array(what[1] + 16, np.float32)
                array[:] = np.arange(len(array))
                self._registers[what] = array
            return self._registers[what]
        if what[0] == "count":
            table, splats, key = self._counts, self._count_splats, what[1]
        else:
            table, splats, key = self._numbers, self._number_splats, what
        return splats[16 * table.setdefault(key, len(table)) :]

    # ------------------------------------------------------------ running

    @property
    def numbers(self) -> list[Any]:
        """Keys of the per-step scalars, in the order of the columns of their table."""
        return [*self._numbers]

    def set(self, name: str, value: int) -> None:
        """Set a patched word, which may differ between calls."""
        self._set[name] = value
        for table, place in self.patches.get(name, ()):
            table[place] = value

    def run(self, steps: int, execute: Callable[[Table, int], None]) -> int:
        """Run steps, fused if there are no Python calls; return the last step's index."""
        self.step[runner.NUMBER] = -1
        self.step[runner.STOP] = 0
        at_once = steps if len(self.pieces) == 1 else 1
        for _ in range(0, steps, at_once):
            for piece in self.pieces:
                if isinstance(piece, PythonCall):
                    self._call(piece)
                elif at_once == 1 and piece.work < _LONG:
                    piece.call()  # with the GIL held
                else:
                    execute(piece, at_once)
                if self.step[runner.STOP]:
                    return int(self.step[runner.NUMBER])
        return int(self.step[runner.NUMBER])

    def _call(self, call: PythonCall) -> None:
        """Run a Python call: read its inputs from registers and write its results to registers."""
        n = int(self.step[runner.N])

        def given(source: Any, dtype: Any) -> Any:
            if isinstance(source, Traced):
                return self.read(source).astype(dtype, copy=False)
            if id(source) in self.objects:
                return self.objects[id(source)]
            return source.array if hasattr(source, "assign") else source

        arrays = [*map(given, call.inputs, call.types)]
        results = call.function(arrays, call.options, self.work.of(call.key))
        results = results if isinstance(results, tuple | list) else [results]
        for (symbol, traced), result in zip(call.outputs, results, strict=True):
            if symbol is not None:
                self.objects[id(symbol)] = np.asarray(result)
            if traced is not None:  # a scalar is stored 16 times
                register, sizes = self._registers[traced.node.source], _sizes(traced, n)
                size = math.prod(sizes) if sizes else 16
                register[:size].reshape(sizes or 16)[...] = result

    def read(self, traced: Traced) -> Any:
        """Return a value of the last step, as a view unless it is a scalar."""
        return self._view(traced.node, _sizes(traced, int(self.step[runner.N])))

    def release(self) -> None:
        """Release the workspaces and results of Python calls."""
        if self.work.children:
            self.work.release()
            self.objects.clear()

    def profile(self, times: int = 2000) -> list[tuple[str, float]]:
        """Measure each row: return names and microseconds per run, minimum of 3 repetitions.

        The time of fused updates is divided in proportion to their sizes.
        """
        found: list[tuple[str, float]] = []
        self.step[runner.STOP] = 0

        def measure(name: str, execute: Callable[[], None], n: int, shares: list[int]) -> None:
            best = math.inf
            for _ in range(3):
                start = time.thread_time()
                execute()
                best = min(best, (time.thread_time() - start) / n * 1e6)
            found.extend((name, best * share / sum(shares)) for share in shares)

        names = iter(zip(self.names, self._shares, strict=True))
        for piece in self.pieces:
            if isinstance(piece, PythonCall):
                measure("python", functools.partial(self._call, piece), 1, [1])
                continue
            for k, (name, shares) in enumerate(itertools.islice(names, len(piece.rows))):
                if name not in ("begin", "record"):
                    runs = Table(piece.rows[k : k + 1], address_of(self.step))
                    measure(name, functools.partial(runs.run, times), times, shares)
        return found

    def value(self, name: Any, shape: tuple[int | None, ...], n: int) -> Any:
        """Return a copy of a result of the last step, for a batch of n examples."""
        return self.view(name, shape, n).copy()

    def view(self, name: Any, shape: tuple[int | None, ...], n: int) -> Any:
        """Return a view of a result for batches of n examples; a copy if it is a scalar."""
        return self._view(self.results[name], [n if size is None else size for size in shape])

    def _view(self, node: Node, sizes: list[int]) -> Any:
        count = math.prod(sizes)
        source: Any = node.source if node.operation == "leaf" else node
        if getattr(source, "given", None) is not None:  # an input in the caller's memory
            dtype: Any = np.int64 if source.itemsize == 8 else np.float32
            size = count * source.itemsize
            memory: Any = (ctypes.c_char * size).from_address(self._set[source.given])
            return np.frombuffer(memory, dtype).reshape(sizes)
        if node.operation == "constant":
            return np.full(sizes, node.source, np.float32)
        found = self.memory(node)
        if getattr(source, "itemsize", 4) == 8:
            found = found.view(np.int64)
        if node.result == SCALAR:  # it may be stored 16 times
            return np.full(sizes, found.reshape(-1)[0], np.float32)
        return found.reshape(-1)[:count].reshape(sizes)

    def _stored(self, node: Node) -> Any:
        """Return the Variable that a chain's node is written to, or None."""
        code = self.codes[self.groups.index(self._group_of[node])]
        return None if code is None else code.stored.get(node)


def _owner(node: Node) -> Any:
    """Return the key of the register that holds a value: the register or the node itself."""
    return node.source if isinstance(node.source, Register) else node


def _register_of(node: Node) -> Register:
    """Return a new register for a value of a chain."""
    return Register(node.result, node.is_row and node.space.columns != 1)


def _continues(before: Any, size: int, slots: Any, more: int) -> bool:
    """Return whether a chain of `size` elements can include the `more` elements of the next."""
    arrays = chain.IN, chain.OUT, chain.INOUT
    for (kind, address), (other, following) in zip(before, slots, strict=True):
        if kind in arrays:
            same = other == kind or (other == chain.SCALAR and more == 1)
            if not same or following != address + 4 * size:
                return False
        elif other != kind or kind not in (chain.TEMP, chain.SCALAR) or following != address:
            return False
    # An element that one of them writes must not be read at a different position by the other.
    found = [slot for slot in before if slot[0] in arrays]
    return not any(
        (kind, other) != (chain.IN, chain.IN) and 0 < abs(address - at) < 4 * (size + more)
        for (kind, address), (other, at) in itertools.combinations(found, 2)
    )


def _sizes(traced: Traced, n: int) -> list[int]:
    """Return the shape of a value for a batch of n examples."""
    return [size if size % BATCH else size // BATCH * n for size in traced.shape]


def _position(name: str, word: str) -> int:
    """Return the index of a word in the row of a kernel."""
    kernel = kernel_named(name)
    if hasattr(kernel, "names"):  # a matrix product, which renames the words of `product`
        kernel, word = kernel_named("product"), kernel.names.get(word, word)
    return FIRST + int(kernel.words.index(word))


def prepare() -> None:
    """Start compiling the kernels of dense networks in the background, if necessary."""
    _get(object_code.prepare, {"begin", "chain", "product", "record", "run"})


def _get(how: Any, names: set[str]) -> None:
    """Pass kernels to a function of `object_code`; all matrix products are one kernel."""
    if COMPILES:
        kernels = [kernel_named(name) for name in sorted(names)]
        how(k if isinstance(k, Kernel) else kernel_named("product") for k in kernels)


def kernel_named(name: str) -> Any:
    """Return a kernel or a matrix product by name."""
    return KERNELS[name] if name in KERNELS else getattr(matrix_product, name)
