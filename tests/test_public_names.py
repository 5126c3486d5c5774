"""The names under `gr.` are there, listed once, and cheap to import."""

import pydoc
import re
import subprocess
import sys

import graphc as gr
from graphc import ops

OWN = gr.__all__[: -len(ops.__all__)]


def test_every_public_name_is_there():
    assert all(getattr(gr, name) is not None for name in gr.__all__)


def test_names_are_listed_once_and_sorted():
    assert len(gr.__all__) == len(set(gr.__all__))
    assert sorted(OWN, key=lambda name: (not name.isupper(), name[0].islower(), name)) == OWN


def test_what_is_loaded_on_first_use_is_public():
    assert {*gr._LAZY, *gr._MODULES} <= set(OWN)


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert not hasattr(gr, "tahn")


def test_import_loads_nothing_heavy():
    heavy = {"sympy", "networkx", "llvmlite", "matplotlib", "sklearn", "rich"}
    code = f"import sys, graphc; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "set()\n"


def test_help_shows_an_op_as_the_function_that_users_call():
    text = pydoc.plain(pydoc.render_doc(gr.sum))
    signature = re.sub(r"['\s]", "", text)  # Python 3.14 writes a line for each parameter, and no quotes
    assert "sum(x:Operand,axis:Axes|None=None,*,dtype:Any=None,keepdims:bool=False)" in signature
    assert "The sum over some axes" in text
    assert "find_op" not in text
