"""The ops as a catalog to read: `graphc ops` and `graphc ops NAME`."""

from graphc.catalog.listing import table
from graphc.catalog.page import page

__all__ = ["page", "table"]
