"""What the tests of text share."""

from graphc.text import parse


def round_trip(graph):
    """The graph read back from its text; fails unless it is the same graph and prints the same."""
    text = str(graph)
    read = parse(text)
    assert str(read) == text
    assert read.structure() == graph.structure()
    assert read.name == graph.name
    return read
