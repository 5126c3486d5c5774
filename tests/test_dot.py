"""DOT and networkx: what is drawn is the graph, the same on every run, and any DOT reader accepts it."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import graphc as gr
from graphc.inspect.dot import COLORS, quoted


def model():
    x = gr.placeholder("x", ("batch", 3))
    W = gr.variable("W", np.zeros((3, 2), "f4"))
    h = gr.tanh(x @ W).named("h")
    return x, W, h, gr.sum(h * h).named("loss")


TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|->|[\w.]+|[{}\[\];,=])')


def tokens(text):
    """The tokens of DOT text; fails on anything else."""
    found, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        assert match, f"no DOT token at {text[position:position + 30]!r}"
        found.append(match[1])
        position = match.end()
    return found


def drawn(text):
    """What a DOT text draws: the nodes of each cluster with their attributes, the ranks, and the edges."""
    assert tokens(text).count("{") == tokens(text).count("}")
    clusters, ranks, edges, current = {}, [], [], None
    for line in text.splitlines():
        words = tokens(line)
        if words[:1] == ["subgraph"]:
            current = clusters.setdefault(words[1], {})
        elif words == ["}"]:
            current = None
        elif "rank" in words:
            ranks.append([word for word in words if word.startswith('"')])
        elif "->" in words:
            edges.append((words[0], words[2], words[6] if len(words) > 3 else ""))
        elif current is not None and words[0].startswith('"'):
            values = words[2:-1]
            current[words[0]] = dict(zip(values[0::4], values[2::4], strict=True))
    return clusters, ranks, edges


def test_nodes_levels_and_edges_are_the_graphs():
    _, _, _, loss = model()
    clusters, ranks, edges = drawn(gr.to_dot(loss))
    assert list(clusters) == ["cluster_forward"]
    assert clusters["cluster_forward"]['"%h"']["label"] == r'"%h\ntanh\nf32[batch, 2]"'
    assert ranks == [['"%x"', '"%W"'], ['"%matmul"'], ['"%h"'], ['"%multiply"'], ['"%loss"']]
    assert edges == [
        ('"%x"', '"%matmul"', "0"), ('"%W"', '"%matmul"', "1"), ('"%matmul"', '"%h"', ""),
        ('"%h"', '"%multiply"', "0"), ('"%h"', '"%multiply"', "1"), ('"%multiply"', '"%loss"', ""),
    ]  # fmt: skip
    assert len(ranks) == len(gr.Graph(None, [loss]).levels())


def test_forward_and_backward_are_clusters():
    _, W, _, loss = model()
    clusters, ranks, edges = drawn(gr.gradients(loss, [W]).to_dot())
    assert {'"%loss"', '"%W"', '"%h"'} <= clusters["cluster_forward"].keys()
    assert {'"%dloss"', '"%dW"', '"%dh"'} <= clusters["cluster_backward"].keys()
    assert not clusters["cluster_forward"].keys() & clusters["cluster_backward"].keys()
    every = clusters["cluster_forward"].keys() | clusters["cluster_backward"].keys()
    assert sorted(name for names in ranks for name in names) == sorted(every)
    level = {name: at for at, names in enumerate(ranks) for name in names}
    assert all(level[source] < level[target] for source, target, _ in edges)


def test_colors_tell_the_kinds():
    _, W, _, loss = model()
    clusters, _, _ = drawn(gr.to_dot(gr.gradients(loss, [W])))
    colors = {name: facts["fillcolor"].strip('"') for nodes in clusters.values() for name, facts in nodes.items()}
    assert colors['"%x"'] == colors['"%W"'] == COLORS["leaf"]
    assert colors['"%h"'] == COLORS["op"]
    assert colors['"%dh"'] == COLORS["backward"]
    assert colors['"%loss"'] == colors['"%dW"'] == COLORS["output"]


def test_one_part():
    _, W, _, loss = model()
    back = gr.gradients(loss, [W])
    forward, _, _ = drawn(gr.to_dot(back, part="forward"))
    assert list(forward) == ["cluster_forward"]
    backward, _, edges = drawn(gr.to_dot(back, part="backward"))
    assert '"%loss"' not in backward["cluster_forward"]
    assert '"%h"' in backward["cluster_forward"], "an operand of the backward pass"
    assert all(target in backward["cluster_backward"] for _, target, _ in edges)
    with pytest.raises(gr.GraphError, match='expected part to be "both", "forward" or "backward", got \'all\''):
        gr.to_dot(back, part="all")


def test_anything_that_holds_a_graph_can_be_drawn():
    x, W, h, loss = model()
    graph = gr.Graph([x], [loss], "g")
    assert graph.to_dot() == gr.to_dot(graph)
    assert gr.to_dot([h, loss]) == gr.Graph(None, [h, loss]).to_dot()
    f = gr.compile([x], [loss, gr.grad(loss, W)])
    assert {"cluster_forward", "cluster_backward"} == drawn(gr.to_dot(f))[0].keys()
    with pytest.raises(gr.GraphError, match="expected a node, list of nodes, Graph, Backward or Executable, got 3"):
        gr.to_dot(3)


def test_labels_are_escaped():
    x = gr.placeholder("x", 2)
    wild = gr.exp(x).named("back\\slash\\").replace(name="a'<b>|c&\\")
    clusters, _, edges = drawn(gr.to_dot(gr.tanh(wild)))
    assert clusters["cluster_forward"].keys() == {'"%x"', '"%a\'<b>|c&\\\\"', '"%tanh"'}
    assert len(edges) == 2
    assert quoted('say "so"\n\\N') == '"say \\"so\\"\\n\\\\N"'


def test_long_constants_and_attributes_are_cut():
    big = gr.constant(np.zeros(10**5))
    assert len(gr.to_dot(gr.reshape(big, (10,) * 5 + (1,) * 20))) < 2500


def test_the_same_bytes_on_every_run():
    program = (
        "import numpy as np, graphc as gr\n"
        "x = gr.placeholder('x', ('n', 3))\n"
        "loss = gr.sum(gr.tanh(x @ np.ones((3, 2), 'f4')) ** 2)\n"
        "print(gr.to_dot(gr.gradients(loss, [x])))"
    )
    command = [sys.executable, "-c", program]
    environments = [os.environ | {"PYTHONHASHSEED": seed} for seed in "123"]
    assert len({subprocess.run(command, capture_output=True, check=True, env=env).stdout for env in environments}) == 1


def test_a_file_gets_the_same_text(tmp_path):
    _, _, _, loss = model()
    text = gr.to_dot(loss, tmp_path / "loss.dot")
    assert (tmp_path / "loss.dot").read_text("utf-8") == text


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    _, _, _, loss = model()
    path = tmp_path / "loss.dot"
    path.write_text("old")

    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        gr.to_dot(loss, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it():
    _, W, h, loss = model()
    wild = gr.sum(h.named("a'<b>|c&\\"))
    for obj in (gr.gradients(loss, [W]), wild, gr.gradients(gr.sum(gr.grad(loss, W)), [W])):
        pipes = {"input": gr.to_dot(obj), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        done = subprocess.run(["dot", "-Tsvg"], encoding="utf-8", check=False, **pipes)
        assert (done.returncode, done.stderr) == (0, "")
        assert "<svg" in done.stdout


def test_a_long_chain_is_drawn_in_linear_time():
    x = gr.placeholder("x")
    for _ in range(5000):
        x = gr.tanh(x)
    assert gr.to_dot(x).count("->") == 5000


def test_a_kernel_is_drawn_with_the_ops_and_the_named_nodes_that_it_holds():
    pytest.importorskip("llvmlite")
    x = gr.placeholder("x", (4, 300))
    y = gr.nn.softmax(gr.exp(x).named("e") * 2).named("p")
    drawn = gr.compile([x], y, backend="native", threads=1).to_dot()
    assert r'label="%p\nkernel of exp %e, multiply, max, subtract, exp, sum, divide\n%p\nf32[4, 300]"' in drawn


def test_networkx():
    networkx = pytest.importorskip("networkx")
    x, _, _, loss = model()
    graph = gr.Graph([x], [loss], "g").to_networkx()
    assert isinstance(graph, networkx.MultiDiGraph)
    assert list(graph.nodes) == ["%x", "%W", "%matmul", "%h", "%multiply", "%loss"]
    facts = dict(graph.nodes["%h"])
    assert re.fullmatch(r"tests/test_dot\.py:\d+", facts.pop("where"))
    assert facts == {"op": "tanh", "type": "f32[batch, 2]", "name": "h", "level": 2}
    assert graph.nodes["%multiply"]["name"] == ""
    assert sorted(graph.edges(data="argument")) == [
        ("%W", "%matmul", 1), ("%h", "%multiply", 0), ("%h", "%multiply", 1), ("%matmul", "%h", 0),
        ("%multiply", "%loss", 0), ("%x", "%matmul", 0),
    ]  # fmt: skip
    assert networkx.is_directed_acyclic_graph(graph)
    assert "\n".join(networkx.generate_graphml(graph)).startswith("<graphml")


def test_networkx_is_loaded_on_first_need():
    program = "import sys, graphc.inspect.network, graphc.inspect.dot; sys.exit('networkx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
