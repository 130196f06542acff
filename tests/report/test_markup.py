"""Laws of markup: nothing that comes from outside is more than text."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from orefield.errors import one_line
from orefield.report.markup import join, number, part, plain_value, section, table, tag, text


class Reader(HTMLParser):
    """What a browser would find: elements, their attributes, and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.said = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.said += data


hostile = st.one_of(st.text(), st.text("<>&\"'/=scriptonload \n\x00\x1b\u202e\ud800"))


@given(hostile)
def test_any_text_comes_out_as_it_went_in_and_makes_no_element(value: str) -> None:
    read = Reader(tag("p", text(value)))
    assert read.tags == [("p", [])]
    assert read.said == one_line(value)
    text(value).encode()


@given(hostile)
def test_any_value_of_an_attribute_stays_inside_of_it(value: str) -> None:
    line = one_line(value)
    read = Reader(tag("img", attributes={"alt": line, "src": "data:,"}))
    assert read.tags == [("img", [("alt", line), ("src", "data:,")])]


def test_line_breaks_and_control_characters_are_shown_and_not_done() -> None:
    assert text("a\nb\x1b[2J") == "a b\\x1b[2J"
    assert text("<b>\"x\" & 'y'</b>") == "&lt;b&gt;&quot;x&quot; &amp; &#x27;y&#x27;&lt;/b&gt;"


def test_a_number_is_rounded_and_keeps_its_exact_value() -> None:
    assert number(25.123456789) == '<data value="25.123456789">25.12</data>'
    assert number(12345.6, 0) == '<data value="12345.6">12,346</data>'


def test_values_of_settings_are_written_as_people_do() -> None:
    values = [None, True, False, 0.25, 1e-05, 3, "auto", (64, 40), ["a"], {"k": 1}]
    shown = ["not set", "yes", "no", "0.25", "1e-05", "3", "auto", "64, 40", "a", '{"k": 1}']
    assert [plain_value(value) for value in values] == shown


def test_a_table_has_a_heading_for_each_column_and_each_row() -> None:
    read = Reader(table("kind", [text("a"), text("b")], [[text("x"), text("1")]]))
    names = [name for name, _ in read.tags]
    assert names == ["div", "table", "thead", "tr", "th", "th", "tbody", "tr", "th", "td"]
    assert read.said == "abx1"


def test_a_section_has_a_heading_and_a_note() -> None:
    read = Reader(section("T", join([part("k", text("x"))]), "why"))
    assert [name for name, _ in read.tags] == ["section", "h2", "p", "div"]
    assert read.said == "Twhyx"
