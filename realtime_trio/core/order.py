"""The order of a conversation's items, from nothing but "this one comes after that one".

What the items are is in `core.conversation`.

Theory of operation. "Insert X after P" in a list is the same as making X the newest child of P in a tree and reading
the tree from the top, newest child first. The tree has the advantage that P may be gone or not known yet: a deleted
item stays as an invisible node (a tombstone), and a name that was only mentioned becomes one, which moves to its place,
with all that hangs on it, when its own insertion is seen.
"""

from collections.abc import Iterator
from typing import Any

import attrs

__all__ = ["ItemOrder"]


@attrs.define(eq=False)
class _Node:
    id: str | None
    parent: "_Node | None" = None
    children: list["_Node"] = attrs.Factory(list)  # oldest first
    visible: bool = False
    placed: bool = False  # its own insertion was seen


class ItemOrder:
    """Item ids in the order of the conversation. Iterating gives those that are not removed."""

    def __init__(self) -> None:
        self._root = _Node(None, placed=True)
        self._nodes: dict[str, _Node] = {}
        self._visible: list[str] | None = []  # None: to be read from the tree again
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._listed()))

    def __len__(self) -> int:
        return self._size

    def __contains__(self, item_id: object) -> bool:
        node = self._nodes.get(item_id) if isinstance(item_id, str) else None
        return node is not None and node.visible

    def insert(self, item_id: str, previous: Any) -> None:
        """Put an item in place; without effect if it is there already.

        Args:
            item_id: The item.
            previous: The id of the item before it; None or `"root"` for the front; anything else for the end.
        """
        node = self._nodes.get(item_id)
        if node is not None and node.visible:
            return
        if previous is None or previous == "root":
            parent = self._root
        elif isinstance(previous, str) and previous != item_id:
            parent = self._nodes.get(previous) or self._mention(previous)
        else:
            listed = self._listed()
            parent = self._nodes[listed[-1]] if listed else self._root
        if node is not None and node.placed:
            parent = self._dissolve(node, parent)  # what follows it stays where it is, the id is the new item's
            node = None
        if node is None:
            node = self._nodes[item_id] = _Node(item_id)
            self._hang(node, parent)
        elif not _is_above(node, parent):
            self._hang(node, parent)
        node.visible = node.placed = True
        self._size += 1
        known = self._visible
        if known is None or node.children or len(parent.children) > 1:
            self._visible = None
        elif parent is (self._nodes[known[-1]] if known else self._root):
            known.append(item_id)  # by far the most frequent case: a new item at the end
        else:
            self._visible = None

    def remove(self, item_id: str) -> None:
        """Take an item out. Its name keeps its place, for items that are inserted after it later."""
        node = self._nodes.get(item_id)
        if node is not None and node.visible:
            node.visible = False
            self._size -= 1
            self._visible = None

    def forget(self, item_id: str) -> None:
        """Forget the name of an item that was removed: from now on nothing can be inserted after it."""
        node = self._nodes.get(item_id)
        if node is not None and node.placed and not node.visible:
            del self._nodes[item_id]
            self._dissolve(node, self._root)

    def _dissolve(self, node: _Node, parent: _Node) -> _Node:
        """Put what hangs on a tombstone in its place. Returns `parent`, or what stands for it if it was that one."""
        above = node.parent or self._root
        at = above.children.index(node)
        above.children[at : at + 1] = node.children
        for child in node.children:
            child.parent = above
        return above if parent is node else parent

    def _mention(self, item_id: str) -> _Node:
        # the oldest child of the root is read last, so it stands at the end, and hangs on no item that may follow it
        node = self._nodes[item_id] = _Node(item_id, self._root)
        self._root.children.insert(0, node)
        return node

    def _hang(self, node: _Node, parent: _Node) -> None:
        if node.parent is not None:
            node.parent.children.remove(node)
        node.parent = parent
        parent.children.append(node)

    def _listed(self) -> list[str]:
        if self._visible is None:
            self._visible = []
            stack = [self._root]
            while stack:
                node = stack.pop()
                if node.visible and node.id is not None:
                    self._visible.append(node.id)
                stack.extend(node.children)  # the newest is popped first
        return self._visible


def _is_above(node: _Node, below: _Node) -> bool:
    walk: _Node | None = below
    while walk is not None:
        if walk is node:
            return True
        walk = walk.parent
    return False
