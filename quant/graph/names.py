"""Give every node a name that is its own."""

__all__ = ["name_nodes"]

import onnx_ir as ir


def name_nodes(model: ir.Model) -> int:
    """Name every unnamed node `<op>_<index>`, make repeated names unique; return how many changed.

    Unique names stay, however odd. A repeated one keeps its first bearer and gets `_1`, `_2`, …
    """
    nodes = list(model.graph.all_nodes())
    taken = {node.name for node in nodes if node.name}
    used: set[str] = set()
    changed = 0
    for index, node in enumerate(nodes):
        if node.name and node.name not in used:
            used.add(node.name)
            continue
        stem = node.name or f"{node.op_type}_{index}"
        name, count = stem, 0
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        node.name = name
        taken.add(name)
        used.add(name)
        changed += 1
    return changed
