"""The house rules that a program can check: imports, and what is written where."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FUNCTION = 40

# What a layer may import of ours, besides itself.  Every layer of app/ has its line.
MAY_IMPORT = {
    "extensions": (),
    "embedded": (),
    "memory": (),
    "domain": (),
    "pki": ("domain",),  # It runs on a member's own machine, too.
    "models": ("domain", "pki"),  # Personal data are encrypted by the suites of pki.
    "operations": ("domain", "models", "extensions", "pki"),
    # Of operations it knows people and their records alone (ADR 0049).
    "security": ("domain", "models", "operations", "extensions", "config", "pki"),
    # Messages on their way out, and the process that carries them and works through jobs.
    "delivery": ("operations", "extensions", "config"),
    "worker": ("domain", "operations", "delivery", "extensions", "config", "pki", "memory"),
    "views": ("domain", "models", "operations", "security", "extensions", "pki"),
    "cli": ("domain", "models", "operations", "security", "extensions", "installation", "config",
            "worker", "pki", "foreign_commands", "commands", "audit_command"),
    # It hands the second book a connection and what verifies signatures, and tells what was found.
    "audit_command": ("commands", "domain", "pki"),
    "commands": ("domain", "models", "config"),
    "foreign_commands": ("config",),
    # It sets everything up: schema, roles, demo data.
    "installation": ("domain", "models", "operations", "security", "extensions", "config", "pki",
                     "delivery",  # The demonstration's money comes through its bank's line.
                     "migrations"),  # and refuses a schema that they did not make
    "migrations": ("models",),
    # Whoever wants the rules or the keys alone imports the package, and loads nothing else by it.
    "__init__": (),
    "web": ("models", "security", "extensions", "views", "cli", "installation", "config"),
}  # fmt: skip

# The rooms of the two large layers: what each may import of its own layer, besides itself.
ROOMS = {
    "operations": {
        "records": (),
        "ledger": ("records",),
        "people": ("records",),
        "compliance": ("records",),
        "sanctions": ("records",),
        "pledges": ("records",),
        "accounts": ("records", "ledger", "people"),
        # CCER in the other registry: messages with it, and the mirror that they make.
        "offsets": ("records", "compliance"),
        "applications": ("records", "ledger", "people", "compliance", "sanctions", "pledges", "accounts",
                         "offsets"),
        "imports": ("records", "compliance", "accounts", "applications"),
        "exchange": ("records", "ledger", "applications"),
        "settlement": ("records", "ledger", "applications"),
        "carry_over": ("records", "ledger", "compliance", "applications"),
        "money": ("records", "ledger", "accounts", "applications"),
        "publicity": ("records",),
    },
    "views": {
        "lists": (),
        "frame": (),
        "applications": ("lists",),
        "people": ("lists", "applications"),
        "attestations": ("lists",),
        "accounts": ("lists", "applications", "people"),
        "transfers": ("lists", "applications"),
        "interfaces": ("lists", "applications"),
        "custody": ("lists", "applications"),
        "cancellations": ("lists", "applications"),
        "enquiries": ("lists", "applications"),
        "compliance": ("lists", "applications", "enquiries"),
        # Rounds are said in fields like a plan's; statements are drawn as those of settlement are.
        "carry_over": ("lists", "applications", "attestations", "compliance"),
        "offsets": ("lists", "applications", "compliance"),
        "sanctions": ("lists", "applications", "enquiries", "compliance"),
        "pledges": ("lists", "applications", "enquiries", "compliance"),
        "issuance": ("lists", "applications"),
        # Statements are drawn in the look of attestations.
        "settlement": ("lists", "applications", "attestations"),
        "money": ("lists", "applications", "enquiries"),
        # Yearly statements are drawn as settlement statements are.
        "publicity": ("lists", "applications", "attestations", "enquiries"),
        # What a member's own system reads is what its people see on these pages.
        "member_interface": ("applications", "interfaces", "compliance", "enquiries", "settlement"),
        "platform_interface": ("lists", "applications", "interfaces", "compliance"),
        "administration": ("lists", "applications"),
        "reference": ("lists", "applications"),
        "home": ("lists", "frame", "applications", "compliance", "carry_over", "administration"),
    },
}  # fmt: skip
# What stands beside the rooms of a layer and belongs to all of them.
SHARED = {"operations": (), "views": ("chapters", "page")}
LARGEST_ROOM = 16  # files of ours in one folder, its __init__.py not counted

SOURCES = sorted((ROOT / "app").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT / "app").parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Yield the layers of ours that a file imports, wherever in the file it does."""
    for module in modules_imported(path):
        package, _, rest = module.partition(".")
        if package == "app":
            yield rest.partition(".")[0] or "__init__"
        elif package == "config":
            yield "config"


def modules_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{name_of(path)} imports relatively"
            modules = [node.module]
            if node.module.count(".") < 2:  # A layer or the whole: a name may be a room of it.
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        yield from modules


def calls(path: Path, *names: str) -> Iterator[int]:
    """Yield the lines where a function or method of one of these names is called."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if any(called == name or called.endswith(f".{name}") for name in names):
                yield node.lineno


def test_every_part_of_the_application_has_its_line():
    assert {layer_of(path) for path in SOURCES} <= set(MAY_IMPORT)


def wrong(paths: Iterable[Path], find: Callable[[Path], object]) -> dict[str, object]:
    """Return what is wrong with each file, of those where something is."""
    found = {name_of(path): find(path) for path in paths}
    assert found
    return {name: what for name, what in found.items() if what}


def test_imports_go_downwards_only():
    def upwards(path):
        layer = layer_of(path)
        return set(imported(path)) - {layer, *MAY_IMPORT[layer]}

    assert wrong(SOURCES, upwards) == {}


# The second book shares nothing with the first (ADR 0078): nothing of ours, whatever its name.
SECOND_BOOK = sorted((ROOT / "audit").rglob("*.py"))


def test_the_second_book_imports_nothing_of_ours():
    def foreign(path):
        packages = {module.partition(".")[0] for module in modules_imported(path)}
        return packages - set(sys.stdlib_module_names) - {"audit", "psycopg"}

    assert wrong(SECOND_BOOK, foreign) == {}


def test_only_its_command_imports_the_second_book():
    users = [
        name_of(path)
        for path in SOURCES
        if any(module.partition(".")[0] == "audit" for module in modules_imported(path))
    ]
    assert users == ["app/audit_command.py"]


ROOMED = [path for path in SOURCES if layer_of(path) in ROOMS and path.parent.parent.name in ROOMS]


def test_every_room_has_its_line():
    for layer, rooms in ROOMS.items():
        assert {path.parent.name for path in ROOMED if layer_of(path) == layer} == set(rooms)


def rooms_imported(path: Path, layer: str) -> set[str]:
    """Return the rooms of a layer that a file imports from."""
    return {
        module.split(".")[2]
        for module in modules_imported(path)
        if module.startswith(f"app.{layer}.")
    }


def test_rooms_import_the_rooms_they_may():
    def beyond(path):
        layer, room = path.relative_to(ROOT / "app").parts[:2]
        return rooms_imported(path, layer) - {room, *ROOMS[layer][room], *SHARED[layer]}

    assert wrong(ROOMED, beyond) == {}


def test_security_knows_no_business():
    files = (ROOT / "app/security").rglob("*.py")
    assert (
        wrong(files, lambda path: rooms_imported(path, "operations") - {"people", "records"}) == {}
    )


def test_rooms_have_no_circles():
    """A room is listed after those it imports, so that reading from the top meets nothing unknown."""
    for rooms in ROOMS.values():
        known: set[str] = set()
        for room, may_import in rooms.items():
            assert set(may_import) <= known
            known.add(room)


@pytest.mark.parametrize("folder", ["app", "audit", "tests", "assistant", "bench", "tools"])
def test_a_folder_can_be_taken_in_at_a_glance(folder):
    """Documents, decisions and downloads do not count."""
    counted: dict[str, int] = {}
    for path in (ROOT / folder).rglob("*"):
        is_code = path.suffix in {".py", ".html", ".sql", ".js", ".css"}
        # Migrations are read one by one, and there are ever more.
        is_code = is_code and path.parent.name != "versions"
        if is_code and path.name != "__init__.py" and "vendor" not in path.parts:
            counted[name_of(path.parent)] = counted.get(name_of(path.parent), 0) + 1
    assert {name: count for name, count in counted.items() if count > LARGEST_ROOM} == {}


def test_the_domain_knows_no_web_no_database_and_no_io():
    known = {"__future__", "app", "collections", "dataclasses", "datetime", "decimal", "enum",
             "flask_babel", "fractions", "functools", "itertools", "math", "re", "typing",
             "unicodedata", "zoneinfo"}  # fmt: skip

    def foreign(path):
        text = path.read_text(encoding="utf-8")
        modules = re.findall(r"^(?:from|import) ([\w.]+)", text, flags=re.MULTILINE)
        of_babel = set(re.findall(r"from flask_babel import (.*)", text)) - {"lazy_gettext as _"}
        return {module.partition(".")[0] for module in modules} - known | of_babel

    assert wrong((ROOT / "app/domain").rglob("*.py"), foreign) == {}


def test_only_the_ledger_inserts_movements():
    writers = [
        name_of(path)
        for path in SOURCES
        if re.search(r"insert\s+into\s+(movement|posting)\b|insert\((Movement|Posting)\b"
                     r"|\b(Movement|Posting)\(\s*\w+=", path.read_text(encoding="utf-8"), re.I)
    ]  # fmt: skip
    assert writers == ["app/operations/ledger/posting.py"]


def test_nothing_writes_what_is_derived():
    forbidden = re.compile(
        r"(insert\s+into|update|delete\s+from)\s+(holding|entry|sealed_block)\b", re.I
    )
    offenders = [
        name_of(path) for path in SOURCES if forbidden.search(path.read_text(encoding="utf-8"))
    ]
    assert offenders == []


def test_only_edges_commit():
    edges = ("app/views/", "app/cli", "app/installation/", "app/extensions.py", "app/delivery/",
             "app/worker.py")  # fmt: skip
    # A failed sign-in counts, and a session is seen or ended, whatever becomes of the request.
    # So does a form that arrives without a session, which is turned away.
    own_transactions = ("app/security/sign_in.py", "app/security/manager.py",
                        "app/security/lost_forms.py")  # fmt: skip
    offenders = [
        f"{name_of(path)}:{line}"
        for path in SOURCES
        if not name_of(path).startswith((*edges, *own_transactions))
        for line in calls(path, "transaction", "session.commit")
    ]
    assert offenders == []


@pytest.mark.parametrize("folder", ["domain", "operations", "models"])
def test_business_takes_the_time_from_its_caller(folder):
    offenders = [
        f"{name_of(path)}:{line}"
        for path in (ROOT / "app" / folder).rglob("*.py")
        if name_of(path) != "app/operations/records/clock.py"
        for line in calls(path, "datetime.now", "date.today", "datetime.utcnow", "datetime.today",
                          "time.time")
    ]  # fmt: skip
    assert offenders == []


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length_of(function: ast.FunctionDef) -> int:
    """Count the lines of the body; the docstring and the further lines of long texts do not."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    lines = set(range(body[0].lineno, (body[-1].end_lineno or 0) + 1))
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines -= set(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_a_function_fits_on_one_screen():
    def too_long(path):
        lengths = {function.name: length_of(function) for function in functions(path)}
        return {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}

    files = [path for path in SOURCES if "migrations" not in path.parts]
    files += [ROOT / "app.py", ROOT / "config.py", *(ROOT / "tools").glob("*.py"), *SECOND_BOOK]
    assert wrong(files, too_long) == {}


def test_nothing_catches_everything():
    """A bare Exception hides faults; cleaning up and re-raising is allowed."""
    offenders = []
    for path in [*SOURCES, ROOT / "app.py", ROOT / "config.py"]:
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "everything"
            raises = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if re.search(r"\b(Exception|BaseException|everything)\b", caught) and not raises:
                offenders.append(f"{name_of(path)}:{node.lineno} catches {caught}")
    assert offenders == []


UNWANTED = {
    "backref": "relationships name both sides: back_populates",
    "ModelView": "its lists, actions and downloads leak rows; ReferenceView is for reference data",
    "ModelRestApi": "it ignores row scope",
    "MasterDetailView": "its lists leak rows",
    "SQLAInterface": "its generic writes commit by themselves",
    "DirectByChartView": "charts load from a foreign host",
    "GroupByChartView": "charts load from a foreign host",
    "secure_filename": "it strips Chinese names",
    "utcnow": "it has no zone",
    "listens_for": "no hidden hooks",
}
# The one file that takes a ModelView and closes what it leaves open, and the pages declared with it
# (docs/adr/0050-reference-data-by-modelview.md).
ALLOWED = {"ModelView": "app/views/reference/base.py", "SQLAInterface": "app/views/reference/"}


def names_in(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every name that the code uses; texts and comments are not code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value.lineno
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2], node.lineno


def test_what_is_not_wanted_is_nowhere():
    offenders = [
        f"{name_of(path)}:{line} {name} ({UNWANTED[name]})"
        for path in SOURCES
        for name, line in names_in(tree_of(path))
        if name in UNWANTED and not name_of(path).startswith(ALLOWED.get(name, "nowhere"))
    ]
    assert offenders == []


def test_a_module_says_what_lives_there():
    def says_nothing(path):
        return path.read_text(encoding="utf-8").strip() and not ast.get_docstring(tree_of(path))

    assert wrong([*SOURCES, *SECOND_BOOK], says_nothing) == {}


@pytest.mark.parametrize("folder", ["domain", "operations"])
def test_what_is_public_says_what_it_does(folder):
    silent = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in (ROOT / "app" / folder).rglob("*.py")
        for node in tree_of(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_names_without_meaning():
    vague = re.compile(r"^(do|handle|process)_|(Manager|Helper|Utils?)$|^utils?$")
    allowed = {
        "RegistrySecurityManager",  # Flask-AppBuilder's word for it.
        "process_bind_param",  # SQLAlchemy's words.
        "process_result_value",
        "process_data",  # WTForms' words.
        "process_formdata",
        "handle_error",  # webargs' word.
        "handle_error_response",  # Authlib's words.
        "process_assertion_claims",
    }
    offenders = [
        f"{name_of(path)}: {name}"
        for path in SOURCES
        for name in [
            path.stem,
            *(
                node.name
                for node in ast.walk(tree_of(path))
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
            ),
        ]
        if vague.search(name) and name not in allowed
    ]
    assert offenders == []
