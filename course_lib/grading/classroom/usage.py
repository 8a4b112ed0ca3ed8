"""Which names a cell reads and which it makes, found without running it."""

import ast
import re
import symtable
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PARSED = 50_000  # characters of a cell that are parsed, or compared with the course's
MAX_PARSED_IN_ALL = 200_000  # of a notebook: a second at most
FILES, CHANCE = "\0files", "\0chance"  # stand for what is written to files, and the generators
_PARSE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)
_WORD = re.compile(r"[^\W\d]\w*")
_JUPYTER_LINE = re.compile(r"^(\s*)(?:[%!].*|[\w., ]*=\s*[%!].*|.*\?\s*|\?.*)$")
_OPAQUE = re.compile(
    r"(?<![.\w])(globals|locals|vars|eval|exec)\(|\b(user_ns|__main__|_dh|_ih|_oh|_i+\d*|_\d+)\b"
    r"|\b(In|Out)\[|\.(ev|ex|push|run_cell)\(|^\s*%(run|rerun|recall|macro|load|store)\b",
    re.MULTILINE,
)
_READS_FILES = re.compile(r"\b(open|load\w*|read\w*|imread|fromfile|Path|import_module)\b")
_WRITES_FILES = re.compile(r"\b(open|save\w*|write\w*|dump\w*|to_csv|tofile|imwrite)\b")
_CHANCE = re.compile(r"rand|seed|shuffle|choice|permutation|normal|uniform|multinomial|bernoulli")


@dataclass(frozen=True)
class Usage:
    """What a cell has to do with global names."""

    reads: frozenset[str] = frozenset()  # while it runs
    reads_later: frozenset[str] = frozenset()  # when its functions are called
    makes: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()  # of those it makes: no functions, classes and modules
    is_opaque: bool = False  # it may read and make any name
    makes_any: bool = False  # it imports all that a module has

    @property
    def all_reads(self) -> frozenset[str]:
        return self.reads | self.reads_later


class Parser:
    """Python's parser, within limits: it is quick on honest cells, but memory grows with code."""

    def __init__(self):
        self._left = MAX_PARSED_IN_ALL

    def parse(self, source: str) -> ast.Module | None:
        """The syntax tree, None for what is no Python or too much of it."""
        if len(source) > min(MAX_PARSED, self._left):
            return None
        self._left -= len(source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # at "\\d" in somebody's strings
                return ast.parse(source)
        except _PARSE_ERRORS:
            return None

    def usage(self, source: str) -> Usage:
        """What a cell reads and makes; of what cannot be parsed, all its words, to be sure."""
        if len(source) > min(MAX_PARSED, self._left):
            return Usage(is_opaque=True)
        tree = self.parse(source)
        apart: set[str] = set()
        if tree is None:
            source, apart = _without_magics(source)
            tree = self.parse(source) if apart else None
        if tree is None:
            words = frozenset(_WORD.findall(source)) | apart
            return Usage(words, words, words, words, _is_opaque(source))
        try:
            table = symtable.symtable(source, "<cell>", "exec")
        except _PARSE_ERRORS:
            return Usage(is_opaque=True)
        return _read(table, tree, source, frozenset(apart))


def words_in(expression: str) -> set[str]:
    """The names in an expression of the course, and a few more words."""
    return set(_WORD.findall(expression))


def checks_in(tree: ast.Module | None) -> list[tuple[str, str]]:
    """The questions and expressions of a cell of nothing but ``check("question", expression)``."""
    found = []
    for line in tree.body if tree else ():
        match line:
            case ast.Expr(
                ast.Call(ast.Name("check"), [ast.Constant(str(question)), expression], [])
            ):
                found.append((question, ast.unparse(expression)))
            case _:
                return []
    return found


def _without_magics(source: str) -> tuple[str, set[str]]:
    """The Python of a cell of Jupyter's, line by line, and the words of the other lines."""
    lines, words = [], set()
    for number, line in enumerate(source.splitlines()):
        found = _JUPYTER_LINE.match(line) if len(line) < 2000 else None
        if found:
            words |= set(_WORD.findall(line))
            lines.append("" if number == 0 and line.startswith("%%") else f"{found[1]}pass")
        else:
            lines.append(line)
    return "\n".join(lines), words


def _is_opaque(source: str) -> bool:
    return bool(_OPAQUE.search(source))


def _read(table: symtable.SymbolTable, tree: ast.Module, source: str, apart: frozenset) -> Usage:
    reads, later, makes, values = set(apart), set(), set(apart), set(apart)
    for symbol in table.get_symbols():
        name = symbol.get_name()
        if symbol.is_referenced():
            reads.add(name)
        if symbol.is_assigned() or symbol.is_imported():
            makes.add(name)
            if not (symbol.is_imported() or symbol.is_namespace()):
                values.add(name)
    for inner in _scopes(table):
        is_later = inner.get_type() == "function" and inner.get_name() not in _COMPREHENSIONS
        for symbol in inner.get_symbols():
            if symbol.is_global():
                if symbol.is_referenced():
                    (later if is_later else reads).add(symbol.get_name())
                if symbol.is_assigned():
                    makes.add(symbol.get_name())
                    values.add(symbol.get_name())
    reads -= makes - apart - _read_first(tree)
    at_once = "\n".join(_words_at_once(tree))
    if _CHANCE.search(at_once):
        reads.add(CHANCE)
        makes.add(CHANCE)
    if _READS_FILES.search(source):
        later.add(FILES)
    if _WRITES_FILES.search(source):
        makes.add(FILES)
    is_opaque = _is_opaque(source) or bool({"_", "__", "___"} & (reads - makes))
    makes_any = any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body
    )
    return Usage(*map(frozenset, (reads, later, makes, values)), is_opaque, makes_any)


def _read_first(tree: ast.Module) -> set[str]:
    """Names that a cell may read before it makes them itself."""
    read: set[str] = set()
    made: set[str] = set()
    for line in tree.body:
        loads, stores, bound = set(), set(), set()
        for node in ast.walk(line):
            if isinstance(node, ast.Name):
                (loads if isinstance(node.ctx, ast.Load) else stores).add(node.id)
            elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
                bound |= {one.id for one in ast.walk(node.target) if isinstance(one, ast.Name)}
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                loads.add(node.target.id)
        read |= loads - made - bound
        made |= stores
        if isinstance(line, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            made.add(line.name)
        elif isinstance(line, (ast.Import, ast.ImportFrom)):
            made |= {(one.asname or one.name).split(".")[0] for one in line.names}
    return read


_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        yield inner
        waiting += inner.get_children()


def _words_at_once(tree: ast.Module) -> Iterator[str]:
    """Names and attributes in what is run at once, functions and classes left out."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        waiting += ast.iter_child_nodes(node)
