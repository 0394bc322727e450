"""YAML with its line numbers, so that a complaint about a file can say where."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

Where: TypeAlias = tuple[str | int, ...]
"""A place in a document: keys and numbers in lists, from the top."""

_STEP: Final = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


class NotYaml(ValueError):
    """A text that is no YAML, or says something twice."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


class Document(NamedTuple):
    """What a YAML text says, and its tree of nodes."""

    content: Any
    root: yaml.Node | None

    def line(self, where: Where) -> int:
        """The line, from 1, on which the thing at a place stands; of what is missing, that of what it is missing in."""
        node, line = self.root, 1
        if node is not None:
            line = _line(node)
        for step in where:
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == step:
                        node, line = value, _line(key)
                        break
                else:
                    return line
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = _line(node)
            else:
                return line
        return line

    def explained(self, error: str) -> tuple[int, str]:
        """Where an error of msgspec is, and what it says, in the words of the file: `blocks[0].count: …`."""
        what, _, path = error.partition(" - at ")
        path = path.removeprefix("`key` in ").strip("`").removeprefix("$")
        where: list[str | int] = []
        for name, number in _STEP.findall(path):
            if number == "...":  # which key of several is not said
                break
            where.append(name or int(number))
        if unknown := re.search("unknown field `(.+?)`", what):
            where.append(unknown[1])
        what = what.replace("Object contains", "here stands an").replace(
            "Object missing required", "here is missing the"
        )
        what = what.replace("Expected `object`", "expected `key: value` lines").replace("Expected", "expected")
        return self.line(tuple(where)), f"{path.lstrip('.')}: {what}" if path else what


def read(text: str) -> Document:
    """What a YAML text says.

    Raises:
        NotYaml: it cannot be read, or a key is there twice.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        say = f"this is no YAML: {error.problem or error.context}; put a text with signs such as {{ }} : # into quotes"
        raise NotYaml(mark.line + 1 if mark else 1, say) from None
    except yaml.YAMLError as error:
        raise NotYaml(1, f"this is no YAML: {error}") from None
    if root is not None:
        _refuse_repeats(root)
    return Document(content, root)


def _refuse_repeats(node: yaml.Node) -> None:
    """A key that is there twice would silently lose what it said first."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise NotYaml(_line(key), f"{key.value!r} is there twice; leave one out")
            seen.add(key.value)
            _refuse_repeats(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _refuse_repeats(each)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
