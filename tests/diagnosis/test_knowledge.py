"""Machine knowledge: frequencies from geometry, values that cannot be, a sensor table with both."""

from __future__ import annotations

import pytest

from vibro.diagnosis.bearings import BEARINGS
from vibro.diagnosis.diagnose import shaft_of
from vibro.diagnosis.knowledge import Machine, bearing_orders, machine_from, machine_of
from vibro.errors import ConfigError
from vibro.ingest.machines import read_machines


@pytest.mark.parametrize(
    ("name", "inner", "outer"),  # orders as the makers of the data sets state them
    [
        ("6205", 5.4152, 3.5848),
        ("6203", 4.9469, 3.0530),
        ("NICE", 118.875 / 25, 81.125 / 25),
        ("ZA-2115", 296.9 / 33.33, 236.4 / 33.33),
    ],
)
def test_known_bearings_give_the_stated_orders(name, inner, outer):
    orders = bearing_orders(*BEARINGS[name])
    assert orders["inner"] == pytest.approx(inner, rel=2e-3) and orders["outer"] == pytest.approx(outer, rel=2e-3)
    assert orders["inner"] + orders["outer"] == pytest.approx(BEARINGS[name][0])
    assert orders["cage"] == pytest.approx(orders["outer"] / BEARINGS[name][0])


def test_frequencies_follow_the_speed():
    by_geometry = machine_of({"rpm": "1797", "balls": "9", "ball_d": "7.94", "pitch_d": "39.04"}, "here")
    assert by_geometry.rates(by_geometry.shaft)["inner"] == pytest.approx(162.19, abs=0.01)
    assert by_geometry.rates(None) == {}
    stated = machine_of({"rpm": "1500", "bpfo": "81.125", "bsf": "63.91"}, "here")
    assert stated.rates(50.0) == {"outer": pytest.approx(162.25), "ball": pytest.approx(255.64)}
    assert stated.rates(None)["outer"] == pytest.approx(81.125)


def test_what_is_known_survives_json():
    machine = machine_of({"bearing": "6205", "rpm": "1797", "teeth": "23", "winding": "motor"}, "here")
    assert machine_from({**machine.table, "of a later version": 1}) == machine
    assert Machine().table == {}


def test_speed_comes_from_the_record_first():
    machine = Machine(rpm=1500)
    assert shaft_of(machine, {"speed": 3000.0}) == 50
    assert shaft_of(machine, {"speed_hz": 20.0}) == 20
    assert shaft_of(machine, {"speed": float("nan")}) == 25
    assert shaft_of(Machine(), {"load": 0.5}) is None


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"balls": "9", "ball_d": "40", "pitch_d": "39"}, "not smaller than pitch_d"),
        ({"balls": "30", "ball_d": "8", "pitch_d": "39"}, "do not fit"),
        ({"balls": "9", "ball_d": "8"}, "without pitch_d"),
        ({"balls": "9.5", "ball_d": "8", "pitch_d": "39"}, "not a whole number"),
        ({"balls": "9", "ball_d": "8", "pitch_d": "39", "angle": "95"}, "below 90"),
        ({"bearing": "no such"}, "not in the table"),
        ({"rpm": "fast"}, "not a positive number"),
        ({"rpm": "-1500"}, "not a positive number"),
        ({"rpm": "nan"}, "not a positive number"),
        ({"bpfo": "120", "bpfi": "80"}, "not below bpfi"),
        ({"rpm": "1500", "ftf": "30"}, "not below the shaft"),
        ({"poles": "3"}, "even number"),
        ({"winding": "wool"}, "winding is 'wool'"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_its_line(cells, said):
    with pytest.raises(ConfigError, match=said) as error:
        machine_of(cells, "sensors.csv line 2")
    assert error.value.message.startswith("sensors.csv line 2")


def test_a_sensor_table_gives_a_machine_per_sensor(tmp_path):
    path = tmp_path / "sensors.csv"
    path.write_text("sensor_id,machine_id,rpm,bearing\na,P1,1797,6205\nb,P1,,\na,P1,1797,6205\n")
    assert read_machines(path) == {"a": machine_of({"rpm": "1797", "bearing": "6205"}, "")}
    path.write_text("sensor_id,machine_id,rpm\na,P1,1797\na,P1,1500\n")
    with pytest.raises(ConfigError, match="line 3: sensor 'a' has two descriptions"):
        read_machines(path)
