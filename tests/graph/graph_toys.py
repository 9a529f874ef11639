"""Node types with nothing behind them, and a builder for the page's file form."""

from collections import Counter

from magplus.models.errors import MagPlusError
from magplus.pipeline.graph import InputType, NodeResult, NodeType


def wire(name, *types, required=True):
    return InputType(name=name, types=frozenset(types), required=required)


def widget(name, kind, default, **keywords):
    return InputType(name=name, types=frozenset({kind}), widget=True, default=default, **keywords)


class Toys:
    """A registry whose nodes count how often they ran and keep what they showed."""

    def __init__(self):
        self.runs = Counter()
        types = [
            NodeType(
                id="Number",
                inputs=(
                    widget("seed", "INT", 0, extra_widgets=1),
                    widget("value", "INT", 1, low=-100, high=100),
                    widget("mood", "COMBO", "calm", options=("calm", "glad")),
                ),
                outputs=("INT",),
                run=self._counted("Number", lambda i: (i["value"],)),
            ),
            NodeType(
                id="Sum",
                inputs=(wire("a", "INT"), wire("b", "INT", "FLOAT", required=False), widget("times", "INT", 1)),
                outputs=("INT",),
                run=self._counted("Sum", lambda i: (i["times"] * (i["a"] + i.get("b", 0)),)),
            ),
            NodeType(
                id="Pick",
                inputs=(
                    widget("file", "COMBO", "x", options=("x", "y"), upload=True),
                    widget("start", "INT", 0, required=False),
                ),
                outputs=("STRING", "INT"),
                run=self._counted("Pick", lambda i: (i["file"], i.get("start", -1))),
            ),
            NodeType(id="Show", inputs=(wire("value", "*"),), outputs=(), is_output=True, run=self._show),
            NodeType(id="Fails", inputs=(wire("value", "*"),), outputs=(), is_output=True, run=self._fail),
        ]
        self.types = {one.id: one for one in types}

    def _counted(self, name, function):
        def run(call):
            self.runs[name] += 1
            return NodeResult(values=function(call.inputs))

        return run

    def _show(self, call):
        self.runs["Show"] += 1
        return NodeResult(values=(), shown={"text": [call.inputs["value"]]})

    def _fail(self, call):
        if call.inputs["value"] > 0:
            raise MagPlusError("There is no face. Draw one.")
        raise ZeroDivisionError("by nothing")


class Page:
    """Builds what the page saves, form 0.4 or (``objects``) 1.0."""

    def __init__(self, objects=False):
        self.objects, self.nodes, self.links = objects, [], []

    def node(self, kind, inputs=(), outputs=("INT",), *, values=None, mode=0, title=None, **more):
        """``inputs``: (name, type, (origin id, slot) or None)."""
        index = len(self.nodes) + 1
        entries = []
        for slot, (name, wire_type, origin) in enumerate(inputs):
            link = None if origin is None else self.link(*origin, index, slot, wire_type)
            entries.append({"name": name, "type": wire_type, "link": link})
        node = {"id": index, "type": kind, "mode": mode, "order": index, "inputs": entries}
        node["outputs"] = [{"name": t, "type": t, "links": []} for t in outputs]
        if values is not None:
            node["widgets_values"] = values
        if title:
            node["title"] = title
        self.nodes.append({**node, **more})
        return index

    def link(self, origin, slot, target, target_slot, wire_type):
        number = len(self.links) + 1
        if self.objects:
            ends = {"origin_id": origin, "origin_slot": slot, "target_id": target, "target_slot": target_slot}
            self.links.append({"id": number, **ends, "type": wire_type})
        else:
            self.links.append([number, origin, slot, target, target_slot, wire_type])
        return number

    def data(self, **more):
        return {"version": 1 if self.objects else 0.4, "nodes": self.nodes, "links": self.links, **more}
