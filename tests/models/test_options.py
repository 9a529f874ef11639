"""Options of a model, from words and from typed values."""

import pytest
from magplus.models.errors import MagPlusError
from magplus.models.options import Option, read_options

DECLARED = (
    Option(name="relative", default=True, help=""),
    Option(name="memory", default=512, low=64, help=""),
    Option(name="strength", default=1.0, low=0.0, high=10.0, help=""),
    Option(name="mode", default="a", choices=("a", "b"), help=""),
)


def test_defaults_and_words():
    assert read_options(DECLARED, {}, of="X") == {"relative": True, "memory": 512, "strength": 1.0, "mode": "a"}
    given = {"relative": "false", "memory": "64", "strength": "0.25", "mode": "b"}
    assert read_options(DECLARED, given, of="X") == {"relative": False, "memory": 64, "strength": 0.25, "mode": "b"}
    assert read_options(DECLARED, {"relative": False, "memory": 99}, of="X")["memory"] == 99


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"relative": "maybe"}, "true or false"),
        ({"memory": "63"}, "from 64 to"),
        ({"memory": "1.5"}, "whole number"),
        ({"strength": "much"}, "a number from 0 to 10"),
        ({"strength": 11}, "a number from 0 to 10"),
        ({"strength": "nan"}, "a number from 0 to 10"),
        ({"mode": "c"}, "a or b"),
        ({"speed": "1"}, "relative, memory, strength, mode"),
    ],
)
def test_errors_name_model_and_what_is_allowed(given, message):
    with pytest.raises(MagPlusError, match=message) as caught:
        read_options(DECLARED, given, of="Backbone 'x'")
    assert "Backbone 'x'" in str(caught.value)
