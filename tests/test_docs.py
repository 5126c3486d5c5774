"""The pages of docs/ print what they say, and their links lead somewhere. (README.md runs in test_examples.py.)"""

import re
import tomllib

import pytest
from documents import ROOT, run

from graphc.op import COMPOSITES
from graphc.operators import OPS

PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md"]
LANGUAGES = {"python", "text", "sh", ""}
"""What code blocks hold: code that runs, what it prints, shell commands, and (unnamed) diagrams and grammars."""


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """A page runs in a folder of its own, and the ops that it declares are gone afterwards."""
    monkeypatch.chdir(tmp_path)
    tables = [(table, dict(table)) for table in (OPS, COMPOSITES)]
    yield
    for table, before in tables:
        table.clear()
        table.update(before)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_prints_what_it_says(page, bless):
    if re.search(r" = kernel\(|^(from|import) graphc\.native", page.read_text("utf-8"), re.MULTILINE):
        pytest.importorskip("llvmlite")
    ran = run(page)
    if bless:
        page.write_text(ran.text, "utf-8")
    assert ran.text == page.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_is_short(page):
    without_output = re.sub(r"^```text\n.*?^```\n\n?", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert without_output.count("\n") <= 230


def test_lines_of_a_named_file_count_on_from_block_to_block(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- file: one.py -->\n```python\na = 1\n```\n\nThen:\n\n```python\n\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as error:
        run(page)
    assert (str(error.traceback[-1].path), error.traceback[-1].lineno + 1) == ("one.py", 4)


# Blocks


def fences(text):
    """The language of each code block."""
    return re.findall(r"^```(.*)$", text, re.MULTILINE)[::2]


def printed(text):
    """How many blocks are compared with what the code above them prints."""
    return len(re.findall(r"^```python\n(?:(?!^```).*\n)*?```\n(?:(?!^```).*\n)*?```text$", text, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_code_block_runs_or_is_printed(document):
    text = document.read_text("utf-8")
    assert set(fences(text)) <= LANGUAGES
    assert printed(text) == fences(text).count("text")


def test_a_block_that_nothing_prints_is_seen():
    text = "```python\nprint(1)\n```\n\nprints\n\n```text\n1\n```\n"
    assert printed(text) == 1
    assert printed(text + "\n```text\n2\n```\n") == 1
    assert fences(text + "\n```py\n2\n```\n") == ["python", "text", "py"]


# Links


def prose(path):
    """A document without its code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "`", text)


def anchors(path):
    """What a link can point to in a document: its headings, as GitHub spells them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(path):
    """The links to files, folders and headings that do not exist."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document):
    assert list(broken(document)) == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One `fine` heading\n[a](#one-fine-heading) [b](#none) [c](none.md) [d](page.md) `[e](none)`\n")
    assert list(broken(page)) == ["#none", "none.md"]


def test_every_page_can_be_found_from_the_index():
    found = [ROOT / "docs" / "index.md"]
    for page in found:
        targets = [(page.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", prose(page))]
        found += [target for target in targets if target in PAGES and target not in found]
    assert set(PAGES) == set(found)


def test_architecture_names_every_room():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = {room for layer in layers for room in re.findall(r"\w+", layer)}
    exist = {room for room in rooms if list((ROOT / "graphc").glob(f"{room}*")) or room == "passes"} - {"__main__"}
    named = set(re.findall(r"`(\w+)/?`", (ROOT / "docs" / "architecture.md").read_text("utf-8")))
    assert exist - named == set()
