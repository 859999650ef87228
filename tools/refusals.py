"""Find every refusal in the source: each place that makes a RuleError, with its code and messages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TRANSLATING = ("_", "gettext", "lazy_gettext")
IN_BOTH = "in_both"  # A sentence for a terminal: the Chinese one comes first.
DEEPEST = 6  # names followed from a message to its text
# Whose refusals pass on messages that are listed with their origin.
PASSING_ON = {
    "app.views.accounts.changes": "app.operations.accounts.details",
    "app.views.accounts.openings": "app.operations.accounts.details",
    "app.operations.imports.opening_import": "app.operations.accounts.details",
    "app.operations.imports.notice_import": "app.domain.compliance.notices",
}
# The signing process answers with codes; pages show the words of this table, or one sentence.
_OF_THE_SIGNER = ("app.pki.acts", "app.pki.enrolments", "app.pki.journal")
_ITS_WORDS = ("app.operations.people.certificates", "_REFUSALS")
_WITHOUT_WORDS = "The registry's signing service could not sign"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Refusal(NamedTuple):
    """One place in the source; without ``messages`` it was not understood."""

    module: str  # app.domain.moves
    line: int
    code: str
    messages: list[str]


class Source:
    """One module's syntax tree."""

    def __init__(self, path: Path) -> None:
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.parents = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """Return by name the module and the name there."""
        return {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    @cached_property
    def top(self) -> dict[str, ast.AST]:
        """Return the classes, functions and constants by name."""
        found: dict[str, ast.AST] = {}
        for node in self.tree.body:
            if isinstance(node, (ast.ClassDef, *FUNCTIONS[:2])):
                found[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        found[target.id] = node.value
        return found

    def function_around(self, node: ast.AST) -> ast.AST | None:
        """Return the innermost named function that a node is in."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, FUNCTIONS[:2]):
                return node
        return None


class Sources:
    """All modules of the application."""

    def __init__(self) -> None:
        found = map(Source, sorted((ROOT / "app").rglob("*.py")))
        self.modules = {source.name: source for source in found}

    @cached_property
    def refusals(self) -> list[Refusal]:
        """Every call of RuleError or of a class derived from it, and every problem of a table."""
        return [*self._refusals()]

    @cached_property
    def _functions(self) -> dict[str, list[tuple[Source, ast.FunctionDef]]]:
        """All functions and methods by their name."""
        found: dict[str, list[tuple[Source, ast.FunctionDef]]] = {}
        for source in self.modules.values():
            for node in ast.walk(source.tree):
                if isinstance(node, ast.FunctionDef):
                    found.setdefault(node.name, []).append((source, node))
        return found

    def _refusals(self) -> Iterator[Refusal]:
        for source in self.modules.values():
            for node in ast.walk(source.tree):
                if not isinstance(node, ast.Call):
                    continue
                if self._is_error(source, node.func):
                    yield from self._of_error(source, node)
                elif ".imports" in source.name and _is_problem(node):
                    yield Refusal(source.name, node.lineno, "", self.texts(source, node.args[-1]))

    def not_understood(self) -> list[str]:
        """Return the places whose message was not found."""
        return [
            f"{each.module}:{each.line}"
            for each in self.refusals
            if not each.messages and each.module not in PASSING_ON
        ]

    def texts(self, source: Source, node: ast.AST, depth: int = 0) -> list[str]:
        """Return the messages that an expression may stand for."""
        if depth > DEEPEST:
            return []
        if isinstance(node, ast.Call):
            return self._of_call(source, node, depth)
        if isinstance(node, ast.Name):
            return self._of_name(source, node, depth)
        if isinstance(node, ast.Attribute):
            return self._of_attribute(source, node, depth)
        if isinstance(node, ast.Constant | ast.JoinedStr):
            return [_written(node)] if _is_sentence(node) else []
        if isinstance(node, ast.IfExp):
            parts: list[ast.AST] = [node.body, node.orelse]
        elif isinstance(node, ast.Subscript):
            parts = [node.value]
        else:
            parts = [*ast.iter_child_nodes(node)]
        return _unique(text for part in parts for text in self.texts(source, part, depth))

    def _of_call(self, source: Source, node: ast.Call, depth: int) -> list[str]:
        called = ast.unparse(node.func)
        if called in TRANSLATING and node.args and isinstance(node.args[0], ast.Constant):
            return [str(node.args[0].value)]
        if called == IN_BOTH:
            return [_written(node.args[0])]
        if called == "str":
            return self.texts(source, node.args[0], depth + 1)
        where, found = self._defined(source, called)
        return self._translated(where, found, depth) if found else []

    def _of_name(self, source: Source, node: ast.Name, depth: int) -> list[str]:
        function = source.function_around(node)
        if function is not None and (values := self._values(source, node, function)):
            found = (self.texts(source, value, depth + 1) for value in values)
            return _unique(text for texts in found for text in texts)
        where, defined = self._defined(source, node.id)
        return self.texts(where, defined, depth + 1) if defined else []

    def _values(self, source: Source, node: ast.Name, function: ast.AST) -> list[ast.AST]:
        """Return what a name of a function may stand for where it is used.

        That is the assignment before it in its block, or else in a block around it; a loop's; or what
        the module's calls give for a parameter.
        """
        place: ast.AST = node
        while place is not function:
            around = source.parents[place]
            for block in (getattr(around, name, None) for name in ("body", "orelse", "handlers")):
                if isinstance(block, list) and place in block:
                    for earlier in reversed(block[: block.index(place)]):
                        if values := [*_values_of(node.id, earlier)]:
                            return values
            place = around
        values = [*_values_of(node.id, function)]
        for position, name in _parameter(node.id, function):
            values += _arguments(source.tree, function.name, position, name)
        return values

    def _of_attribute(self, source: Source, node: ast.Attribute, depth: int) -> list[str]:
        """Return what a constant of a module, or a property of this name, says."""
        where, found = self._defined(source, ast.unparse(node))
        if found:
            return self._translated(where, found, depth)
        return _unique(
            text
            for other, each in self._functions.get(node.attr, [])
            for text in self._translated(other, each, depth)
        )

    def _translated(self, source: Source, node: ast.AST, depth: int) -> list[str]:
        """Return the messages in a definition."""
        if not isinstance(node, FUNCTIONS):
            return self.texts(source, node, depth + 1)
        calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
        found = (each for each in calls if ast.unparse(each.func) in TRANSLATING)
        own = _unique(text for each in found for text in self.texts(source, each, depth + 1))
        results = (each.value for each in ast.walk(node) if isinstance(each, ast.Return))
        return own or _unique(
            text for each in results if each for text in self.texts(source, each, depth + 1)
        )

    def _defined(self, source: Source, name: str) -> tuple[Source, ast.AST | None]:
        """Find a name's definition, here or in the module that it was imported from."""
        first, _dot, rest = name.partition(".")
        if rest and first in source.imported:
            module = ".".join(source.imported[first])
            if module in self.modules:
                return self._defined(self.modules[module], rest)
            return source, None
        if name in source.top:
            return source, source.top[name]
        module, original = source.imported.get(name, ("", ""))
        if module in self.modules:
            return self._defined(self.modules[module], original)
        return source, None

    def _is_error(self, source: Source, function: ast.AST) -> bool:
        name = ast.unparse(function)
        if name == "RuleError":
            return True
        where, found = self._defined(source, name)
        return isinstance(found, ast.ClassDef) and any(
            self._is_error(where, base) for base in found.bases
        )

    def _of_error(self, source: Source, node: ast.Call) -> Iterator[Refusal]:
        where, kind = self._defined(source, ast.unparse(node.func))
        given = next((word.value for word in node.keywords if word.arg == "code"), None)
        initial = _initial(kind)
        if initial is None:
            message = node.args[0] if node.args else node
            if _is_passed_on(source, message):
                return
            if by_code := self._by_code(source, message, given):
                for code, value in by_code:
                    yield Refusal(source.name, node.lineno, code, self.texts(source, value))
                return
            texts = self.texts(source, message) if node.args else []
        else:
            texts = self._translated(where, initial, 0)
            takes_code = any(each.arg == "code" for each in initial.args.args)
            given = node.args[0] if takes_code and node.args else given
        for code in self._codes(source, given) if given else [self._usual_code(where, kind)]:
            if source.name in _OF_THE_SIGNER:
                yield Refusal(source.name, node.lineno, code, texts or self._of_the_signer(code))
            else:
                yield Refusal(source.name, node.lineno, code, texts)

    def _of_the_signer(self, code: str) -> list[str]:
        module, name = _ITS_WORDS
        words = self.modules[module].top[name]
        assert isinstance(words, ast.Dict)
        found = {
            str(ast.literal_eval(key)): value
            for key, value in zip(words.keys, words.values, strict=True)
            if key is not None
        }
        texts = self.texts(self.modules[module], found[code]) if code in found else []
        return texts or [_WITHOUT_WORDS]

    def _by_code(
        self, source: Source, message: ast.AST, code: ast.AST | None
    ) -> list[tuple[str, ast.AST]]:
        """Return the entries of a table that is asked for its message by the code, or for one key."""
        if not isinstance(message, ast.Subscript):
            return []
        _where, table = self._defined(source, ast.unparse(message.value))
        if not isinstance(table, ast.Dict):
            return []
        pairs = [(str(getattr(key, "value", "")), value) for key, value in
                 zip(table.keys, table.values, strict=True)]  # fmt: skip
        if isinstance(message.slice, ast.Constant):
            return [pair for pair in pairs if pair[0] == message.slice.value]
        return pairs if code is not None and ast.unparse(message.slice) == ast.unparse(code) else []

    def _usual_code(self, source: Source, kind: ast.AST | None) -> str:
        if not isinstance(kind, ast.ClassDef):
            return "rule"
        for each in kind.body:
            if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "code":
                return str(ast.literal_eval(each.value))
        where, base = self._defined(source, ast.unparse(kind.bases[0]))
        return self._usual_code(where, base)

    def _codes(self, source: Source, node: ast.AST) -> list[str]:
        """Return the codes that an expression may stand for, with … for what is not known here."""
        function = source.function_around(node)
        if isinstance(node, ast.Name) and function is not None:
            values = self._values(source, node, function)
            return _unique(each for value in values for each in self._codes(source, value)) or ["…"]
        if isinstance(node, ast.IfExp):
            return [*self._codes(source, node.body), *self._codes(source, node.orelse)]
        if isinstance(node, ast.JoinedStr):
            return ["".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
            )]  # fmt: skip
        return [str(node.value)] if isinstance(node, ast.Constant) else ["…"]


def _is_passed_on(source: Source, message: ast.AST) -> bool:
    """Tell whether this is the message of an error that was caught: it is listed where it was made."""
    function = source.function_around(message)
    caught = {each.name for each in ast.walk(function or message)
              if isinstance(each, ast.ExceptHandler)}  # fmt: skip
    return isinstance(message, ast.Call) and any(
        ast.unparse(each) in caught for each in message.args
    )


def _initial(kind: ast.AST | None) -> ast.FunctionDef | None:
    """Return a class's own __init__, where it says the message itself."""
    for each in kind.body if isinstance(kind, ast.ClassDef) else ():
        if (
            isinstance(each, ast.FunctionDef)
            and each.name == "__init__"
            and kind.name != "RuleError"
        ):
            return each
    return None


def _is_problem(node: ast.Call) -> bool:
    """Tell whether this is `table.refuse(row, column, message)`."""
    return (
        isinstance(node.func, ast.Attribute) and node.func.attr == "refuse" and len(node.args) == 3
    )


def _values_of(name: str, function: ast.AST) -> Iterator[ast.AST]:
    """Yield what a function assigns to a name of its own, or loops over with it."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        elif isinstance(node, ast.For | ast.comprehension | ast.NamedExpr):
            targets = [node.target]
        else:
            continue
        if any(
            isinstance(each, ast.Name) and each.id == name
            for target in targets
            for each in ast.walk(target)
        ):
            yield node.iter if isinstance(node, ast.For | ast.comprehension) else node.value


def _parameter(name: str, function: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield a parameter's place, methods' self not counted."""
    parameters = [each.arg for each in function.args.args if each.arg != "self"]
    if name in parameters:
        yield parameters.index(name), name


def _arguments(tree: ast.AST, function: str, place: int, name: str) -> Iterator[ast.AST]:
    """Yield what calls in a module give for a parameter."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == function:
            yield from (word.value for word in node.keywords if word.arg == name)
            if len(node.args) > place:
                yield node.args[place]


def _is_sentence(node: ast.AST) -> bool:
    """Tell a message in the source from a code or a name."""
    return " " in _written(node)


def _written(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "%(…)s" for part in node.values
        )
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _unique(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))
