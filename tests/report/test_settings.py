"""Laws of settings: those that are shown are exactly those that differ."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from orefield.config import MiningConfig, RunConfig, to_dict
from orefield.report.settings import differing, flat, settings_table

values = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["auto", "off"]))
parts = st.dictionaries(st.sampled_from("abc"), values, max_size=3)
nested = st.dictionaries(st.sampled_from(["p", "q"]), parts, max_size=2)


@given(st.lists(nested, min_size=1, max_size=4))
def test_the_differing_settings_are_exactly_those_that_differ(several: list[dict]) -> None:
    found = differing(several)
    absent = object()
    for part in "pq":
        for name in "abc":
            row = [one.get(part, {}).get(name, absent) for one in several]
            if row == [absent] * len(row):
                assert f"{part}.{name}" not in found
                continue
            kinds = {(type(value), repr(value)) for value in row if value is not absent}
            differ = len(kinds) > 1 or absent in row
            assert (f"{part}.{name}" in found) == differ
            if differ:
                assert found[f"{part}.{name}"] == [None if v is absent else v for v in row]


def test_settings_of_a_run_against_the_defaults() -> None:
    mining = MiningConfig(rule="hsm", max_budget=0.25)
    one = dataclasses.replace(RunConfig(), seed=7, mining=mining)
    found = differing([to_dict(one), to_dict(RunConfig())])
    expected = {
        "seed": [7, 0],
        "mining.rule": ["hsm", "importance"],
        "mining.max_budget": [0.25, 0.5],
    }
    assert found == expected
    assert differing([to_dict(one), to_dict(one)]) == {}


def test_tuples_and_lists_and_whole_numbers_are_equal_but_yes_is_not_one() -> None:
    assert differing([{"a": (1, 2), "b": 1.0}, {"a": [1, 2], "b": 1}]) == {}
    assert differing([{"a": True}, {"a": 1}]) == {"a": [True, 1]}


def test_names_are_those_of_the_command_line() -> None:
    assert {"seed", "mining.rule", "optim.lr"} <= set(flat(to_dict(RunConfig())))


def test_the_table_escapes_and_says_when_nothing_differs() -> None:
    shown = settings_table(["<b>", "x"], [{"a": "<i>"}, {"a": "y"}])
    assert "&lt;b&gt;" in shown
    assert "&lt;i&gt;" in shown
    assert "<i>" not in shown
    assert settings_table(["a", "b"], [{}, {}]) == "<p>None.</p>"
