"""The picture of the rooms is the one that the imports draw."""

from draw_rooms import PICTURE, draw, import_graph, levels, reduced


def test_the_picture_is_drawn_from_the_present_imports() -> None:
    """`python tools/draw_rooms.py` makes it."""
    assert PICTURE.read_text(encoding="utf-8") == draw(import_graph())


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    graph = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert reduced(graph) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert levels(graph) == {"a": 2, "b": 1, "c": 0, "d": 0}
