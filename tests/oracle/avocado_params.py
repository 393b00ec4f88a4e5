"""Asks the real Avocado what parameter files mean: questions as JSON on stdin, answers as JSON on stdout.

A question is {"files": [paths], "get": [[key, path], ...], "limit": variants at most}. An answer is {"error": true}, or
{"variants": [{"id": ..., "paths": [...], "get": [...]}, ...]} with {"value": ...}, {"none": true} or {"clash": true}
for each lookup.
"""

import collections
import itertools
import json
import sys

from avocado.core import parameters
from avocado.core.varianter import generate_variant_id
from avocado_varianter_yaml_to_mux import mux, varianter_yaml_to_mux as plugin

JOIN = 105


def join_loader(loader, node):
    """`!join` as Avocado had it: this release undoes a `!mux` when trees are merged, but no tag leads there any more."""
    objects = plugin._mux_loader(loader, node)
    objects[-1] = (mux.Control(JOIN), None)
    return objects


def control(path, node, value, others=plugin._handle_control_tag):
    if value[0].code == JOIN:
        node.multiplex = False
    else:
        others(path, node, value)


class Map(collections.OrderedDict):
    """Prints itself as Python 3.12 and later do; the ids of variants are made of that."""

    def __repr__(self):
        return f"OrderedDict({dict(self)!r})" if self else "OrderedDict()"


def forget_removals(node):
    """A removal that met nothing prints the address of an object into the id of a variant: different in each run."""
    node.ctrl = []
    for child in node.children:
        forget_removals(child)


class Nothing:
    """The default of a lookup that finds nothing."""


def looked_up(params, key, path):
    try:
        value = params.get(key, path, Nothing)
    except ValueError:
        return {"clash": True}
    return {"none": True} if value is Nothing else {"value": value}


def answer(question):
    try:
        root = plugin.create_from_yaml(question["files"])
    except Exception:  # Avocado lets everything through: its own errors, Python's and the YAML reader's.
        return {"error": True}
    forget_removals(root)
    varianter = mux.MuxPlugin()
    # As `initialize_mux` does, but for the ids: it would make those of all variants at once.
    varianter.root, varianter.paths, varianter.variants = root, ["/run/*"], mux.MuxTree(root)
    varianter.variant_ids = map(generate_variant_id, mux.MuxTree(root))
    variants = []
    for variant in itertools.islice(varianter, question["limit"]):
        params = parameters.AvocadoParams(variant["variant"], variant["paths"])
        variants.append(
            {
                "id": variant["variant_id"],
                "paths": [leaf.path for leaf in variant["variant"]],
                "get": [looked_up(params, key, path) for key, path in question["get"]],
            }
        )
    return {"variants": variants}


plugin._BaseLoader.add_constructor("!join", join_loader)
plugin._handle_control_tag = control
plugin.collections.OrderedDict = Map
json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
