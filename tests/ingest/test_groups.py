"""The column ``group`` of a sensor table: what it gives, and what cannot be a group."""

from __future__ import annotations

import pytest

from vibro.errors import ConfigError
from vibro.ingest.groups import read_groups


@pytest.fixture
def groups(tmp_path):
    def read(*rows: str) -> dict[str, str]:
        path = tmp_path / "sensors.csv"
        path.write_text("\n".join(["sensor_id,machine_id,group,unit,fs", *rows]) + "\n", encoding="utf-8")
        return read_groups(path)

    return read


def test_sensors_without_a_group_are_in_none(groups, tmp_path):
    assert groups("a,P1,pumps,g,", "b,P1,,,", "c,P2,pumps,,1000", "a,P1,pumps,g,") == {"a": "pumps", "c": "pumps"}
    (tmp_path / "plain.csv").write_text("sensor_id,machine_id\na,P1\n")
    assert read_groups(tmp_path / "plain.csv") == {}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("a,P1,pumps,,", "a,P1,fans,,"), "line 3: sensor 'a' has group 'pumps' and 'fans'"),
        (("a,P1,pumps,g,", "b,P1,pumps,mm/s,"), "line 3: group 'pumps' mixes unit g and mm/s"),
        (("a,P1,pumps,,1000", "b,P1,pumps,,2000"), "line 3: group 'pumps' mixes fs 1000 and 2000"),
        (("a,P1,pumps,,fast",), "line 2: column fs holds 'fast'"),
    ],
)
def test_what_cannot_be_a_group_is_an_error_that_names_its_line(groups, rows, said):
    with pytest.raises(ConfigError, match=said):
        groups(*rows)


def test_one_unit_and_rate_in_two_spellings_are_one(groups):
    assert len(groups("a,P1,pumps,m/s2,1000", "b,P1,pumps,m/s²,1000.0")) == 2
