"""Documents whose code runs: each ```python block is executed, and the ```text block after it is what it prints.

The blocks of a document share their names, as the cells of a notebook do. A comment `<!-- file: example.py -->` names
the file that lines of provenance show: as if the code from there on stood in it, with an empty line between blocks.
Without it they show the document and the line there. `--bless` writes what is printed now into the document: then read
the diff.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(
    r"^<!-- file: (?P<file>\S+) -->\n"
    r"|^```python\n(?P<code>.*?)^```\n(?:(?:(?!^```).)*?^```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Ran:
    """A document after its code ran: its text with the output as it is now, and the names that the code defined."""

    text: str
    names: dict[str, Any]


def run(path: Path) -> Ran:
    """Execute the code of a document, block by block."""
    names: dict[str, Any] = {"__name__": "__document__"}
    file, code = path.name, ""

    def executed(block: re.Match[str]) -> str:
        nonlocal file, code
        whole: str = block[0]
        if block["file"]:
            file, code = block["file"], ""
            return whole
        above = block.string.count("\n", 0, block.start("code")) if file == path.name else code.count("\n")
        printed = _printed("\n" * above + block["code"], file, names)
        code += block["code"] + "\n"
        if block["output"] is None:
            assert not printed, f"{path.name}: a block prints, but no ```text block follows it:\n{block['code']}"
            return whole
        return whole.removesuffix(f"{block['output']}```\n") + f"{printed}```\n"

    return Ran(_BLOCK.sub(executed, path.read_text("utf-8")), names)


def _printed(code: str, file: str, names: dict[str, Any]) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, file, "exec"), names)
    return output.getvalue()
