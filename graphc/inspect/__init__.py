"""Graphs, backward graphs and executables as something to look at: text, DOT, networkx."""
