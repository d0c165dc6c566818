"""Numbers in text: the compiled parser equal to the checked one, both equal to a slow one of another make."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vibro_plugins.readers.text import digits, fast
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.lines import excerpt
from vibro_plugins.readers.text.numbers import BadNumber, parse_list, parse_text

from .common import line, same, slow


def plain(data: bytes, start: int, stop: int, numbers: Numbers | None = None, **more):
    return (numbers or compiled()).plain(np.frombuffer(data, np.uint8), start, stop, **more)


def compiled() -> Numbers:
    numbers = Numbers(worth=0)
    numbers._compiled = digits
    return numbers


token = st.one_of(
    st.from_regex(r"[+-]?[0-9]{1,12}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1, 1).map(lambda v: f"{v:.5f}"),
    st.floats(-1e6, 1e6).map(lambda v: f"{v:.3f}"),
    st.integers(-(10**18), 10**18).map(str),
    st.text("0123456789+-.eE _xnaif", max_size=9),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(token, min_size=1, max_size=12))
@example(["16777217", "16777219", "0.1", "8388608.5"])
@example(["1.00000005960464477539", "1.000000059604644775390625", "1.00000017881393432617187500001"])
@example(["1.1754943508222875e-38", "1.17549435e-38", "1e-45", "1e-46", "3.4028235e38", "3.4028236e38"])
@example(["0.000000000000000000000001", "123456789.123456789", "00012.5000", "-0.0", "-0"])
@example(["9007199254740993", "9007199254740992.5", "1e22", "1e23", "1e+22", "1e-22", "1E-23"])
def test_both_parsers_agree_with_a_slow_one(tokens):
    text = ",".join(tokens)
    expected = slow(text)
    try:
        checked = parse_text(text)
    except BadNumber:
        checked = None
    if text.strip(" "):
        assert (checked is None) == (expected is None)
    if expected is not None:
        assert same(checked, expected)
    data = b" " * 24 + text.encode() + b'"'
    found = plain(data, 24, len(data) - 1)
    if found is not None:
        assert expected is not None, text
        assert same(found, expected)


@pytest.mark.parametrize("form", ["{:.5f}", "{:.3f}", "{:.7g}", "{:.9g}", "{!r}", "{:.0f}", "{:.4e}", "{:+.2f}"])
@pytest.mark.parametrize("scale", [3e-7, 0.03, 1.0, 4e4])
def test_the_compiled_parser_takes_usual_text_and_is_exact(form, scale):
    x = scale * np.random.default_rng(1).standard_normal(3000)
    tokens = [form.format(float(v)) for v in x]
    data = b" " * 24 + ",".join(tokens).encode() + b'", "sensor_id": "s"}'
    found = plain(data, 24, data.index(b'"'))
    if form == "{!r}" and scale > 1:  # 17 digits with several before the point: left to the checked parser
        return
    assert found is not None
    assert same(found, [np.float32(float(token)) for token in tokens])


def test_the_compiled_parser_on_floats_next_to_midpoints():
    rng = np.random.default_rng(2)
    low = rng.integers(0x00800000, 0x7F000000, 4000).astype(np.uint32).view(np.float32)
    middle = (low.astype(np.float64) + np.nextafter(low, np.float32(np.inf)).astype(np.float64)) / 2
    tokens = [repr(float(v)) for m in middle for v in (np.nextafter(m, 0), m, np.nextafter(m, np.inf))]
    tokens += [f"{m:.25f}"[:19] for m in middle[(middle > 1e-3) & (middle < 1e3)]]
    numbers = compiled()
    for token_ in tokens:
        data = b" " * 24 + token_.encode() + b'"' + b" " * 40
        found = plain(data, 24, data.index(b'"'), numbers)
        if found is not None:
            assert found[0] == np.float32(float(token_)), token_


def test_the_compiled_parser_never_reads_beyond_its_text():
    for n in range(1, 40):
        for tail in (b'"', b'",', b'"' + b"9" * 40):
            data = b" " * 24 + b"1" * n + tail
            found = plain(data, 24, 24 + n)
            if found is not None:
                assert same(found, [np.float32(float("1" * n))])


def test_commas_and_blanks():
    numbers = compiled()
    for text, expected in {
        "1, 2,  3": [1, 2, 3],
        "1,,2": None,
        ",1": None,
        "1,": None,
        "1 ,2": None,
        " ": None,
    }.items():
        data = b" " * 24 + text.encode() + b'"' + b" " * 40
        found = plain(data, 24, data.index(b'"', 24), numbers)
        assert (found is None) == (expected is None), text
        if expected:
            assert same(found, expected)
    assert same(parse_text("1 , 2 ,3 "), [1, 2, 3])


def test_json_numbers_are_kept_strict():
    numbers = compiled()
    for text, good in {
        "1.5,2": True,
        "+1.5,2": False,
        "01.5,2": False,
        "-01,2": False,
        "0.5,0": True,
        "0,1": True,
    }.items():
        data = b" " * 24 + text.encode() + b"]" + b" " * 40
        assert (plain(data, 24, 24 + len(text), numbers, as_json=True) is not None) == good, text


def test_the_room_follows_the_data():
    numbers = compiled()
    for n in (10, 5000, 3, 9000, 8192, 8192):
        data = b" " * 24 + ",".join(["0.25"] * n).encode() + b'"'
        assert plain(data, 24, len(data) - 1, numbers).tolist() == [0.25] * n


def test_runs_of_different_widths():
    rng = np.random.default_rng(4)
    forms = ["{:.4f}", "{:.9f}", "{:.0f}", "{:.3e}", "{!r}", "{:.12f}", "{:+.2f}"]
    for first in range(0, 520, 37):
        tokens = [f"{v:.5f}" for v in rng.standard_normal(700)]
        for k in range(first, first + 9):
            tokens[k] = forms[k % len(forms)].format(float(rng.standard_normal()))
        data = b" " * 24 + ",".join(tokens).encode() + b'"'
        assert same(plain(data, 24, len(data) - 1), [np.float32(float(token)) for token in tokens])


@pytest.mark.parametrize("good", ["0.12345", "-0.123456789", "0.12345678901234567", "12.5", "1234"])
def test_one_wrong_character_anywhere_is_seen(good):
    for place in (0, 255, 256, 300, 599):
        for at in range(len(good)):
            for c in range(32, 127):
                if chr(c) in '0123456789,"' or chr(c) == good[at] or c == 32:
                    continue
                wrong = good[:at] + chr(c) + good[at + 1 :]
                if slow(wrong) is not None:
                    continue
                tokens = [*[good] * place, wrong, *[good] * (600 - place)]
                data = b" " * 24 + ",".join(tokens).encode() + b'"' + b"1.5," * 20
                assert plain(data, 24, data.index(b'"')) is None, wrong
            if place:  # every character is tried once, every place with a few of them
                break


def test_one_wrong_token_anywhere_is_seen():
    good = ["0.12345"] * 600
    wrongs = (
        "",
        "x",
        "0..1234",
        "0.123.5",
        "-",
        "--0.123",
        "0.12\x7f45",
        "1_0.123",
        "0/12345",
        "0:12345",
        ".12345",
        "0.12 ",
    )
    for place in (0, 1, 255, 256, 300, 511, 512, 598, 599):
        for wrong in wrongs:
            tokens = [*good[:place], wrong, *good[place + 1 :]]
            data = b" " * 24 + ",".join(tokens).encode() + b'"' + b"1.5," * 20
            assert plain(data, 24, data.index(b'"')) is None, (place, wrong)


def test_every_number_is_found_whatever_the_room_and_its_neighbours():
    rng = np.random.default_rng(3)
    odd = ["1e-05", "12.5", "-0.25", "7", "-100", "0.03425000205409304", "1234567.5", "16777217", "9.9999999", "-0.0"]
    for n in (1, 7, 8, 9, 15, 16, 17, 40):
        for tail in (b'"', b'", "sensor_id": "s"}' + b" " * 40):
            tokens = [str(odd[i]) if i < len(odd) else f"{rng.normal():.5f}" for i in rng.integers(0, 30, n)]
            data = b" " * 24 + ",".join(tokens).encode() + tail
            text, stop = np.frombuffer(data, np.uint8), data.index(b'"')
            expected = [np.float32(float(token)) for token in tokens]
            for room in range(n + 3):
                guarded = np.full(room + 8, 7, np.float32)
                count = digits.parse(text, 24, stop, True, guarded[:room])
                assert count == (n if room >= n else digits.FULL), (n, room)
                assert np.all(guarded[room:] == 7)
                assert count < 0 or same(guarded[:n], expected), tokens


def test_one_odd_token_among_eight_is_refused_where_it_stands():
    good = ["0.01234", "-0.5", "1.25", "-3.75", "0.1", "2.5", "-0.00001", "9.5"]
    bad = ["", "-", ".5", "5.", "1.2.3", "--1", "+-1", "0x1", "1_0", "nan", "1e", "01.5", "1:5", "1/5", "1.5 ", "1.-5"]
    for width in ("", "0" * 8, "0" * 14):
        line_ = [token + width if "." in token else token for token in good]
        for place in range(8):
            for wrong in bad:
                tokens = [*line_[:place], wrong, *line_[place + 1 :]]
                data = b" " * 24 + ",".join(tokens).encode() + b'"' + b" " * 40
                assert plain(data, 24, data.index(b'"'), as_json=True) is None, (place, wrong)


def test_lists_name_their_bad_element():
    for values, code, index in (
        ([1, True], "Q006", 1),
        ([1.5, None], "Q006", 1),
        (["1"], "Q006", 0),
        ([0, 1, 10**400], "Q007", 2),
        ([1e39], "Q007", 0),
        ([0.0, math.inf], "Q007", 1),
    ):
        with pytest.raises(BadNumber) as error:
            parse_list(values)
        assert (error.value.code, error.value.index) == (code, index)


def test_the_compiled_parser_is_loaded_for_large_input_only(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line("1,2") + b"\n")
    numbers = Numbers()
    numbers.expect(path)
    assert numbers._compiled is None
    monkeypatch.setattr(fast, "WORTH", 1)
    numbers = Numbers(worth=10)
    numbers.expect(path)
    assert numbers._compiled is digits


def test_an_excerpt_is_short_and_printable():
    assert excerpt(b"\x1b[31m" + b"x" * 500) == "\\x1b[31m" + "x" * 109 + "..."
    assert len(excerpt("\u202e" * 500)) <= 120
