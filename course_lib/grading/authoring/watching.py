"""What every expression of an answer is while the answer runs: `observe` watches."""

import ast
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_RECORD = "_record_"  # the name by which a watched answer reports what its expressions are


@dataclass
class Seen:
    """What an expression was, over all the times that it ran."""

    kinds: set[str] = field(default_factory=set)
    values: list[Any] = field(default_factory=list)  # of numbers and of shapes, each once
    axes: int = 0
    dtype: str = ""
    is_float: bool = False
    has_negative: bool = False
    has_graph: bool = False  # a gradient goes through it

    @property
    def kind(self) -> str:
        """ "tensor", "array", "int", "float", "bool", "tuple", "module", "other"; "" if mixed."""
        return next(iter(self.kinds)) if len(self.kinds) == 1 else ""

    @property
    def has_numbers(self) -> bool:
        """Whether it was a tensor or an array, each time."""
        return self.kind in ("tensor", "array")

    def add(self, value: Any) -> None:
        """Note what it was this time."""
        self.kinds.add(_kind_of(value))
        if self.has_numbers:
            self.axes, self.dtype = value.ndim, str(value.dtype).removeprefix("torch.")
            self.is_float = "float" in self.dtype
            self.has_graph |= getattr(value, "requires_grad", False)
            if self.dtype != "bool" and value.ndim and 0 not in value.shape:
                self.has_negative |= bool((value < 0).any())
            return
        value = value.item() if isinstance(value, np.generic) else value
        value = tuple(value) if _is_shape(value) else value
        if type(value) in (bool, int, float, tuple) and _is_finite(value):
            is_known = any(type(one) is type(value) and one == value for one in self.values)
            self.values += [] if is_known else [value]


def _kind_of(value: Any) -> str:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return "tensor"
    kinds = {
        "array": np.ndarray,
        "bool": (bool, np.bool_),
        "int": (int, np.integer),
        "float": (float, np.floating),
        "tuple": tuple,
        "list": list,
        "module": type(sys),
    }
    return next((name for name, types in kinds.items() if isinstance(value, types)), "other")


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(type(item) is int for item in value)


def _is_finite(value: Any) -> bool:
    return _is_shape(value) or (not isinstance(value, tuple) and abs(value) < float("inf"))


def observe(source: str, run: Callable[[str, dict[str, Any]], None]) -> dict[int, Seen]:
    """Run an answer, and see what each of its expressions is.

    Args:
        run: is given the source to run and the names that it needs besides.

    Returns:
        Number of a node, in the order of ``ast.walk``, → what it was. Those that never ran lack.
    """
    tree = ast.parse(source)
    seen: dict[int, Seen] = {}

    def record(number: int, value: Any) -> Any:
        seen.setdefault(number, Seen()).add(value)
        return value

    numbers = {id(node): number for number, node in enumerate(ast.walk(tree))}
    watched = _Watcher(numbers).visit(tree)
    run(ast.unparse(ast.fix_missing_locations(watched)), {_RECORD: record})
    return seen


class _Watcher(ast.NodeTransformer):
    """Wraps every expression whose value is taken in a call that records it."""

    def __init__(self, numbers: dict[int, int]):
        self.numbers = numbers

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A function is not recorded: `super` must be called by its name, methods are of no use."""
        if isinstance(node.func, ast.Attribute):
            node.func.value = self.visit(node.func.value)
        elif not isinstance(node.func, ast.Name):
            node.func = self.visit(node.func)
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [self.generic_visit(keyword) for keyword in node.keywords]
        return self._recorded(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        is_read = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        unwatched = (ast.Constant, ast.Slice, ast.Starred, ast.Lambda, ast.keyword)
        if not isinstance(node, ast.expr) or not is_read or isinstance(node, unwatched):
            return node
        if isinstance(node, ast.Tuple) and any(isinstance(e, ast.Slice) for e in node.elts):
            return node
        return self._recorded(node)

    def _recorded(self, node: ast.expr) -> ast.Call:
        number = ast.Constant(self.numbers[id(node)])
        return ast.Call(ast.Name(_RECORD, ast.Load()), [number, node], [])
