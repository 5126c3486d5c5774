"""CPython and NumPy as native code uses them: functions by address, and where objects keep what is read in place.

Nothing of it is taken on trust: each place is compared with what Python says of a sample, NumPy's table of functions is
recognized by the types in it, and where anything differs, native code is not called this way.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import numpy as np

from graphc.native.driver.layout import WORD_BYTES
from graphc.native.objects import ARRAY_DATA, LIST_ITEMS, knows_objects

PLAIN_OBJECT = 16
"""The bytes of an object without a value; it has a lock, too, where not one lock guards all of them."""
TYPE = object.__basicsize__ - 8
"""Where an object keeps the pointer to its type."""
TUPLE_SIZE, TUPLE_ITEMS = object.__basicsize__, tuple.__basicsize__
RANK, DIMS, DTYPE, FLAGS = (ARRAY_DATA + words * WORD_BYTES for words in (1, 2, 5, 6))
"""Where an array keeps its rank and flags, of 32 bits, and the pointers to its dims and its dtype."""
FIT = 0x101
"""NumPy's flags of arrays that native code can read in place: in C order, and aligned."""
KIND = object.__basicsize__ + WORD_BYTES
"""Where a dtype keeps its kind, character, byte order and number: equal for dtypes that are equal, built-in ones."""

PYTHON = (
    "Py_IncRef", "Py_DecRef", "PyList_New", "PyList_SetSlice", "PyList_Append", "PyTuple_New", "PyNumber_Add",
    "PyNumber_Subtract", "PyObject_GetAttr", "PyObject_Vectorcall", "PyObject_VectorcallMethod", "PyErr_Clear",
    "PyEval_SaveThread", "PyEval_RestoreThread", "PyLong_AsLongLongAndOverflow",
)  # fmt: skip
NUMPY = {"PyArray_Scalar": 60, "PyArray_NewFromDescr": 94}
"""The places of functions in NumPy's table, which its ABI fixes."""
_NUMPY_TYPES = {2: np.ndarray, 3: np.dtype, 10: np.generic}


class Method(ctypes.Structure):
    """PyMethodDef: native code as a method; kept as long as the method."""

    _fields_ = (("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


FAST_WITH_NAMES = 0x80 | 0x02
"""METH_FASTCALL | METH_KEYWORDS: ptr code(ptr self, ptr arguments, i64 count, ptr names)."""


def method(owner: type, definition: Method) -> Any:
    """Native code as a method of a class, which like Python's own passes arguments without packing them."""
    make = ctypes.pythonapi.PyDescr_NewMethod
    make.restype, make.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]
    return make(owner, ctypes.addressof(definition))


def functions() -> dict[str, int]:
    """The address of each function, by name."""
    python = {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in PYTHON}
    table = _numpy_table()
    return python | {name: table[place] or 0 for name, place in NUMPY.items()}


def _numpy_table() -> Any:
    read = ctypes.pythonapi.PyCapsule_GetPointer
    read.restype, read.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]  # where C code has it from
    return (ctypes.c_void_p * (max(NUMPY.values()) + 1)).from_address(read(capsule, None))


@cache
def can_enter() -> bool:
    """Whether everything lies where native code looks for it, and one lock guards all Python objects."""
    if not knows_objects() or object.__basicsize__ != PLAIN_OBJECT or sys.byteorder != "little":
        return False
    try:
        known = all(_numpy_table()[place] == id(kind) for place, kind in _NUMPY_TYPES.items())
        return known and all(functions().values()) and _reads_objects()
    except (AttributeError, TypeError, ValueError):
        return False


def _reads_objects() -> bool:
    items = (object(), object())
    arrays = (np.empty((3, 5)), np.empty((2, 7, 4), "i2")[:, ::2], np.empty((), ">f4"))
    return (
        all(_word(thing, TYPE) == id(type(thing)) for thing in (1.5, items, arrays[0], np.float32(1)))
        and _word(items, TUPLE_SIZE) == len(items)
        and all(_word(items, TUPLE_ITEMS + WORD_BYTES * i) == id(item) for i, item in enumerate(items))
        and _word([*items], LIST_ITEMS) not in (None, 0)
        and _word([*items], TUPLE_SIZE) == len(items)
        and all(_reads_array(array) for array in arrays)
        and kind_of(np.dtype("f8")) == kind_of(np.dtype("f8", metadata={"a": 1})) != kind_of(np.dtype(">f8"))
    )


def _reads_array(array: np.ndarray[Any, Any]) -> bool:
    rank, flags = (ctypes.c_int32.from_address(id(array) + place).value for place in (RANK, FLAGS))
    dims = (ctypes.c_int64 * array.ndim).from_address(_word(array, DIMS) or id(array))
    return ((_word(array, DTYPE), rank, tuple(dims)) == (id(array.dtype), array.ndim, array.shape)
            and flags == array.flags.num and kind_of(array.dtype) & 0xFF == ord(array.dtype.kind))  # fmt: skip


def kind_of(dtype: np.dtype[Any]) -> int:
    """The word by which native code tells a dtype."""
    return _word(dtype, KIND) or 0


def _word(thing: object, place: int) -> int | None:
    return ctypes.c_int64.from_address(id(thing) + place).value


def slot_of(kind: type, name: str) -> int:
    """Where objects of a class keep an attribute that is a slot; raises ValueError where it is not found."""
    made: Any = object.__new__(kind)
    mark = object()
    setattr(made, name, mark)
    places = range(object.__basicsize__, kind.__basicsize__, WORD_BYTES)
    found = [place for place in places if _word(made, place) == id(mark)]
    if len(found) != 1:
        raise ValueError(f"{kind.__name__}.{name} is no slot")
    return found[0]
