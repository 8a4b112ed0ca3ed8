"""One thing changed in an answer's code: what mutants are made of.

A comparison's neighbour, another operator, a shifted slice, another axis, a narrower number type, a
cut graph, one variable in place of another, a step left out. What fits where is told by what every
expression is when the right answer runs, see `watching`.
"""

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

from course_lib.grading.authoring.watching import Seen

LEFT_OUT = "(left out)"
_NOTHING = Seen()
_MOST_VALUES = 2  # that an expression had, and that are put into its place

_COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Mult, ast.Mod),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}
_ORDER_MATTERS = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)
_OTHERS = """
    sum: mean amax max; mean: sum amax; amax: amin sum; max: min; min: max; prod: sum;
    cumsum: cumprod; argmin: argmax; argmax: argmin; minimum: maximum; maximum: minimum;
    log: log2 log10; log2: log log10; log10: log log2; exp: exp2; exp2: exp;
    rint: floor ceil trunc; round: floor ceil trunc; floor: ceil round; ceil: floor round;
    trunc: floor round; sigmoid: tanh relu; tanh: sigmoid; relu: abs sigmoid;
    softplus: relu exp; sqrt: square; rsqrt: sqrt; square: abs; abs: square; cos: sin;
    sin: cos; std: var; var: std; any: all; all: any; zeros: ones; ones: zeros;
    zeros_like: ones_like; ones_like: zeros_like; eigh: svd; triu: tril; tril: triu;
    floor_divide: true_divide
"""  # what a function is taken for
_FUNCTIONS = {name: others.split() for name, others in re.findall(r"(\w+): ([\w ]+)", _OTHERS)}
_TEXTS = {"left": "right", "right": "left", "reflect": "replicate", "replicate": "reflect"}
_REDUCERS = {"sum", "mean", "amax", "amin", "prod", "std", "var"}
_SYMMETRIC = {"min", "max", "minimum", "maximum", "add", "multiply"}
_LOGARITHMS = {"log", "log2", "log10"}
_AXES = {"dim", "axis", "dims", "axes"}
_BY_AXIS = {*_REDUCERS, "cumsum", "softmax", "size", "squeeze", "unsqueeze", "flatten", "permute"}
_IN_PLACE = {
    ast.Add: "iadd",
    ast.Sub: "isub",
    ast.Mult: "imul",
    ast.Div: "itruediv",
    ast.Pow: "ipow",
}
_CASTS = {
    ("tensor", True): ".to(torch.{}).float()",
    ("tensor", False): ".to(torch.{})",
    ("array", True): ".astype(np.{}).astype(float)",
    ("array", False): ".astype(np.{})",
}
_NO_NUMBERS = {"shape", "ndim", "dtype", "numel", "size", "nbytes"}
_TYPES = ("int8", "int16", "uint8", "float16")


@dataclass(frozen=True)
class Mutant:
    """An answer's code with one thing changed."""

    change: str  # "return a + b → return a - b": the statement before and after
    source: str


def mutate(source: str, seen: dict[int, Seen]) -> list[Mutant]:
    """All mutants of an answer, each once.

    Args:
        seen: what `watching.observe` saw; nothing for an answer that is no function.
    """
    return _Mutator(source, seen).mutants()


def _fill(template: str, **nodes: ast.expr) -> ast.expr:
    """The expression of a template, with nodes in place of names."""

    class Filler(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.expr:
            return nodes.get(name.id, name)

    return Filler().visit(ast.parse(template, mode="eval").body)


def _with(node: ast.AST, **fields) -> ast.AST:
    """A copy of a node with other fields; its children are the same objects."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _squares(node: ast.AST) -> bool:
    """Whether signs make no difference within it."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return isinstance(node.right, ast.Constant) and node.right.value == 2
    return isinstance(node, ast.Attribute) and node.attr in ("square", "abs")


def _swapped(items: list, at: int) -> list:
    return [*items[:at], items[at + 1], items[at], *items[at + 2 :]]


def _without(items: list, at: int) -> list:
    return [*items[:at], *items[at + 1 :]]


class _Mutator:
    def __init__(self, source: str, seen: dict[int, Seen]):
        self.tree = ast.parse(source)
        nodes = list(ast.walk(self.tree))
        self.seen = {id(node): seen[at] for at, node in enumerate(nodes) if at in seen}
        self.place: dict[int, tuple[ast.AST, str, int | None]] = {}
        for parent in nodes:
            for name, value in ast.iter_fields(parent):
                for at, child in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(child, ast.AST):
                        self.place[id(child)] = (parent, name, at if value is not child else None)
        self.nodes = [node for node in nodes if id(node) in self.place and not self._is_given(node)]

    def mutants(self) -> list[Mutant]:
        right = ast.unparse(self.tree)
        found: dict[str, Mutant] = {}
        for node in self.nodes:
            statement = self._statement(node)
            before = _header(statement)
            for new in self._changes(node):
                self._put(node, new)
                try:
                    source = ast.unparse(self.tree)
                    after = _header(new if statement is node else statement)
                finally:
                    self._put(node, node)
                found.setdefault(source, Mutant(f"{before} → {after}", source))
        found.pop(right, None)
        return list(found.values())

    # ------------------------------------------------------------------ the tree

    def _put(self, node: ast.AST, new: ast.AST) -> None:
        parent, name, at = self.place[id(node)]
        if at is None:
            setattr(parent, name, new)
        else:
            getattr(parent, name)[at] = new

    def _parent(self, node: ast.AST) -> ast.AST:
        return self.place[id(node)][0]

    def _up(self, node: ast.AST) -> Iterator[ast.AST]:
        """The node, and all that it is within, outwards."""
        while id(node) in self.place:
            yield node
            node = self._parent(node)

    def _statement(self, node: ast.AST) -> ast.stmt:
        return next(one for one in self._up(node) if isinstance(one, ast.stmt))

    def _function(self, node: ast.AST) -> ast.FunctionDef | None:
        functions = (one for one in self._up(node) if isinstance(one, ast.FunctionDef))
        return next(functions, None)

    def _is_given(self, node: ast.AST) -> bool:
        """Whether it is no step of the answer: imports, docstrings, stubs, annotations."""
        for one in self._up(node):
            given = isinstance(one, (ast.Import, ast.ImportFrom, ast.JoinedStr, ast.ExceptHandler))
            if isinstance(one, (ast.Expr, ast.Assign, ast.Return)):
                given |= isinstance(one.value, ast.Constant) and one.value.value in (..., None)
            if isinstance(one, ast.Expr):
                given |= isinstance(one.value, ast.Constant)
            given |= self.place[id(one)][1] in ("annotation", "returns", "bases", "decorator_list")
            if given:
                return True
        return False

    def _saw(self, node: ast.AST) -> Seen:
        return self.seen.get(id(node), _NOTHING)

    def _parameters(self, node: ast.AST) -> list[str]:
        function = self._function(node)
        names = [argument.arg for argument in function.args.args] if function else []
        return [name for name in names if name != "self"]

    # ------------------------------------------------------------------ changes

    def _changes(self, node: ast.AST) -> Iterator[ast.AST]:
        by_type = getattr(self, f"_of_{type(node).__name__}", None)
        if by_type:
            yield from by_type(node)
        if isinstance(node, ast.stmt):
            yield from self._of_statement(node)
        _, role, _ = self.place[id(node)]
        if role == "test":
            yield from (ast.Constant(True), ast.Constant(False))
        if role == "iter":
            yield from (_fill(f"list(_)[{cut}]", _=node) for cut in ("1:", ":-1"))
        if isinstance(node, ast.expr) and self._is_value(node):
            yield from self._of_value(node)

    def _is_value(self, node: ast.expr) -> bool:
        """Whether something of the same kind can stand in its place."""
        return isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and id(node) in self.seen

    def _of_value(self, node: ast.expr) -> Iterator[ast.expr]:
        saw, parent = self._saw(node), self._parent(node)
        if saw.has_numbers and not self._is_sized(node):
            yield from self._casts(node)
            if saw.has_negative and not _squares(parent):
                yield _fill("abs(_)", _=node)
            if saw.has_graph:
                yield from (_fill(f"_.{cut}", _=node) for cut in ("detach()", "detach().numpy()"))
            if saw.has_graph and not saw.axes:
                yield _fill("_.item()", _=node)
        if saw.kind == "int" and not isinstance(node, ast.BinOp):
            yield _fill("_ - 1", _=node)
            is_divided = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.FloorDiv)
            if not is_divided or parent.left is not node:  # 7 // 2 is 6 // 2
                yield _fill("_ + 1", _=node)
        if saw.kind == "float" and not isinstance(node, ast.Constant):
            yield from (_fill(f"{cut}(_)", _=node) for cut in ("int", "np.float16"))
        names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
        if any(self._saw(name).kind not in ("", "module") for name in names):
            for value in saw.values[:_MOST_VALUES]:
                yield ast.parse(repr(value), mode="eval").body

    def _is_sized(self, node: ast.expr) -> bool:
        """Whether nothing but its size or type is asked for."""
        parent = self._parent(node)
        is_counted = isinstance(parent, ast.Call) and getattr(parent.func, "id", "") == "len"
        return is_counted or getattr(parent, "attr", "") in _NO_NUMBERS

    def _casts(self, node: ast.expr) -> Iterator[ast.expr]:
        """To number types that cannot hold all that it might be."""
        saw, within = self._saw(node), self._saw(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            within = self._saw(node.func.value)  # x.astype(float) holds no more than x
        types = _TYPES if saw.is_float else _TYPES[:3]
        types = {"uint8": ("int8",), "bool": ()}.get(within.dtype, types)
        for kind in types:
            yield _fill("_" + _CASTS[saw.kind, saw.is_float].format(kind), _=node)

    def _of_Name(self, node: ast.Name) -> Iterator[ast.expr]:
        saw = self._saw(node)
        if not self._is_value(node) or not self._function(node) or self._is_sized(node):
            return
        others = {
            other.id
            for other in ast.walk(self._function(node))
            if isinstance(other, ast.Name) and self._saw(other).kinds & saw.kinds
        }
        if saw.kind and saw.kind != "module":
            yield from (ast.Name(name, ast.Load()) for name in sorted(others - {node.id}))
        if node.id in self._parameters(node) and (saw.axes or saw.kind == "list"):
            yield from (_fill(f"_[{cut}]", _=node) for cut in ("1:", ":-1"))

    def _of_Compare(self, node: ast.Compare) -> Iterator[ast.expr]:
        for at, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                yield _with(node, ops=[*node.ops[:at], other(), *node.ops[at + 1 :]])

    def _of_BinOp(self, node: ast.BinOp) -> Iterator[ast.expr]:
        for other in _ARITHMETIC.get(type(node.op), ()):
            yield _with(node, op=other())
        if isinstance(node.op, _ORDER_MATTERS):
            yield _with(node, left=node.right, right=node.left)
        yield from (node.left, node.right)
        changed = _IN_PLACE.get(type(node.op))
        if changed and self._is_numeric_parameter(node.left):
            yield _fill(f"operator.{changed}(a, b)", a=node.left, b=node.right)

    def _is_numeric_parameter(self, node: ast.expr) -> bool:
        is_parameter = isinstance(node, ast.Name) and node.id in self._parameters(node)
        return is_parameter and self._saw(node).has_numbers

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Iterator[ast.expr]:
        yield node.operand

    def _of_BoolOp(self, node: ast.BoolOp) -> Iterator[ast.expr]:
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        yield from node.values

    def _of_IfExp(self, node: ast.IfExp) -> Iterator[ast.expr]:
        yield from (node.body, node.orelse)
        yield _with(node, body=node.orelse, orelse=node.body)

    def _of_Attribute(self, node: ast.Attribute) -> Iterator[ast.expr]:
        if node.attr in ("T", "mT", "mH", "H"):
            yield node.value
        yield from (_with(node, attr=other) for other in _FUNCTIONS.get(node.attr, ()))

    def _of_Slice(self, node: ast.Slice) -> Iterator[ast.expr]:
        one, last = ast.Constant(1), ast.UnaryOp(ast.USub(), ast.Constant(1))
        yield _with(node, lower=None if node.lower else one)
        yield _with(node, upper=None if node.upper else last)
        if node.step:
            yield _with(node, step=None)
        if node.lower and node.upper:
            yield _with(node, lower=node.upper, upper=node.lower)

    def _of_Tuple(self, node: ast.Tuple) -> Iterator[ast.expr]:
        if not isinstance(node.ctx, ast.Load) or len(node.elts) < 2:
            return
        parent = self._parent(node)
        is_axes = isinstance(parent, ast.keyword) and parent.arg in _AXES
        for at in range(0 if is_axes else len(node.elts) - 1):
            yield _with(node, elts=_swapped(node.elts, at))
        for at in range(len(node.elts)):
            yield _with(node, elts=_without(node.elts, at))

    _of_List = _of_Tuple

    def _of_Constant(self, node: ast.Constant) -> Iterator[ast.expr]:
        value, parent = node.value, self._parent(node)
        if isinstance(value, bool):
            yield ast.Constant(not value)
        elif isinstance(value, (int, float)):
            yield from (ast.Constant(value + step) for step in (1, -1) if value + step >= 0)
            if value < 1:
                yield ast.UnaryOp(ast.USub(), ast.Constant(1 - value))
            if value and not self._is_index(node) and not _squares(parent):
                yield ast.UnaryOp(ast.USub(), node)
        elif isinstance(value, str):
            if value in _TEXTS:
                yield ast.Constant(_TEXTS[value])
            elif len(value) == 1:  # a choice
                yield from (ast.Constant(chr(ord(value) + step)) for step in (1, -1))

    def _is_index(self, node: ast.Constant) -> bool:
        """Whether it names a place or an axis, which can be counted from the end as well."""
        parent, name, _ = self.place[id(node)]
        if isinstance(parent, ast.Call):
            return getattr(parent.func, "attr", "") in _BY_AXIS
        is_axis = isinstance(parent, ast.keyword) and parent.arg in _AXES
        return is_axis or name == "slice" or isinstance(parent, (ast.Slice, ast.Tuple, ast.UnaryOp))

    def _of_Call(self, node: ast.Call) -> Iterator[ast.expr]:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if isinstance(node.func, ast.Name):
            for other in _FUNCTIONS.get(name, ()):
                yield _with(node, func=ast.Name(other, ast.Load()))
        for at in range(0 if name in _SYMMETRIC else len(node.args) - 1):
            yield _with(node, args=_swapped(node.args, at))
        for at in range(len(node.keywords)):
            yield _with(node, keywords=_without(node.keywords, at))
        saw = self._saw(node)
        inner = list(node.args)
        if isinstance(node.func, ast.Attribute):
            inner.insert(0, node.func.value)
        for part in inner if name not in ("int", "float", "bool") else ():
            if saw.kind and self._saw(part).kinds == saw.kinds:
                yield part
        if name in _REDUCERS and saw.has_numbers:
            keep = "keepdim" if saw.kind == "tensor" else "keepdims"
            if keep not in [keyword.arg for keyword in node.keywords]:
                kept = ast.keyword(keep, ast.Constant(True))
                yield _with(node, keywords=[*node.keywords, kept])
        yield from self._with_margin(node, name)
        yield from self._in_place(node, name)

    def _with_margin(self, node: ast.Call, name: str) -> Iterator[ast.expr]:
        """A logarithm of a little more, as who fears zero writes it."""
        if name in _LOGARITHMS:
            if node.args:
                more = _fill("_ + 1e-06", _=node.args[0])
                yield _with(node, args=[more, *node.args[1:]])
            elif isinstance(node.func, ast.Attribute):
                more = _fill("_ + 1e-06", _=node.func.value)
                yield _with(node, func=_with(node.func, value=more))

    def _in_place(self, node: ast.Call, name: str) -> Iterator[ast.expr]:
        """A method that changes what it is called on, or a function that writes into its input."""
        if isinstance(node.func, ast.Attribute) and self._is_numeric_parameter(node.func.value):
            if self._saw(node.func.value).kind == "tensor":
                yield _with(node, func=_with(node.func, attr=f"{name}_"))
        elif node.args and self._is_numeric_parameter(node.args[0]):
            out = ast.keyword("out", node.args[0])
            yield _with(node, keywords=[*node.keywords, out])

    # ------------------------------------------------------------------ statements

    def _of_statement(self, node: ast.stmt) -> Iterator[ast.stmt]:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Return)):
            yield ast.Pass()
        if isinstance(node, ast.Return) and self._function(node):
            for name in self._parameters(node):
                if any(
                    isinstance(one, ast.Name) and one.id == name and self._saw(one).has_numbers
                    for one in ast.walk(self._function(node))
                ):
                    change = ast.parse(f"{name} += 1").body
                    yield ast.Try(body=[node], handlers=[], orelse=[], finalbody=change)

    def _of_AugAssign(self, node: ast.AugAssign) -> Iterator[ast.stmt]:
        for other in _ARITHMETIC.get(type(node.op), ()):
            yield _with(node, op=other())

    def _of_FunctionDef(self, node: ast.FunctionDef) -> Iterator[ast.stmt]:
        first = 1 if node.args.args and node.args.args[0].arg == "self" else 0
        for at in range(first, len(node.args.args) - 1):
            yield _with(node, args=_with(node.args, args=_swapped(node.args.args, at)))
        if node.decorator_list:
            yield _with(node, decorator_list=[])


def _header(node: ast.stmt) -> str:
    """A statement in a line; of one that holds others, its first."""
    if isinstance(node, ast.Pass):
        return LEFT_OUT
    if isinstance(node, ast.Try) and not node.handlers:
        return "; then ".join(ast.unparse(one) for one in (*node.body, *node.finalbody))
    lines = ast.unparse(node).splitlines()
    if hasattr(node, "body"):
        return next((line for line in lines if not line.startswith("@")), lines[0])
    return " ".join(line.strip() for line in lines)
