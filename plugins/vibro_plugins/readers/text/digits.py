"""The compiled path of ``numbers``: the plain case of its grammar at the speed of memory, "not sure" for all the rest.

Commas are found 64 characters at a time; the numbers between them are then read eight side by side in vectors
(``_text.lanes``). What is not plain there is looked at one by one: a token is loaded as right-aligned 64-bit words;
flipping the bits of ``0`` and of the point leaves the digits' values, adding 0x76 marks every byte that is none, and three
multiplications join eight digits (D. Lemire, "Quickly parsing eight digits", 2018). An integer of at most 2**53 scaled by
at most 10**22 is exact in float64 (W. Clinger, "How to read floating point numbers accurately", PLDI 1990); any other
token counts only if its float64 lies so far from a midpoint of two float32 values that the rounding is certain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from vibro_plugins.compiled import compiled
from vibro_plugins.readers.text.lanes import eight_of_8, eight_of_16, eight_of_24, widest

UNSURE = -1
FULL = -2
BLOCK = 64  # characters in which commas are looked for together
LONGEST = 1 << 31  # characters that places of 32 bits can tell apart

_U = np.uint64
_ZEROS = _U(0x3030303030303030)
_ALL = _U(0xFFFFFFFFFFFFFFFF)
_POINT = _U(0x1E)  # "." with the bits of "0" flipped
_BEYOND_NINE = _U(0x7676767676767676)
_HIGH_BITS = _U(0x8080808080808080)
_MARGIN = _U(16)  # units of the last place of float64 within which a rounding counts as open
_EXACT = 22  # 10**22 is the last power of ten that float64 holds exactly
_POWERS = np.array([float(f"1e{i}") for i in range(61)])
_TENS = np.array([10**i for i in range(20)], dtype=np.uint64)
_SIGNS = np.array([1.0, -1.0])


_compile = compiled(nogil=True)


def _load(context: Any, builder: Any, signature: Any, args: Any, kind: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    start = builder.gep(array.data, [args[1]])
    loaded = builder.load(builder.bitcast(start, kind.as_pointer()))
    loaded.align = 1
    return loaded


@intrinsic
def _word(typingctx: Any, text: Any, index: Any) -> Any:
    """``text[index:index + 8]`` as one little-endian uint64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(context, builder, signature, args, ir.IntType(64))

    return types.uint64(text, index), codegen


def _places_of(mark: str) -> Any:
    """What gives one bit for each of ``text[index:index + 64]``, set where this character stands."""

    @intrinsic
    def places(typingctx: Any, text: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vector = ir.VectorType(ir.IntType(8), 64)
            loaded = _load(context, builder, signature, args, vector)
            equal = builder.icmp_unsigned("==", loaded, ir.Constant(vector, [ord(mark)] * 64))
            return builder.bitcast(equal, ir.IntType(64))

        return types.uint64(text, index), codegen

    return places


_commas = _places_of(",")
_ends = _places_of("\n")


@intrinsic
def _lowest(typingctx: Any, bits: Any) -> Any:
    """Index of the lowest set bit of an unsigned integer; its width if there is none."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, False))

    return bits(bits), codegen


@intrinsic
def _ones(typingctx: Any, bits: Any) -> Any:
    """How many bits of an unsigned integer are set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return bits(bits), codegen


@_compile
def _joined(values: Any) -> Any:
    """Eight digit values, one a byte and the first one lowest, as one number."""
    values = (values * _U(2561)) >> _U(8)
    values = ((values & _U(0x00FF00FF00FF00FF)) * _U(6553601)) >> _U(16)
    return ((values & _U(0x0000FFFF0000FFFF)) * _U(42949672960001)) >> _U(32)


@_compile
def _scaled(mantissa: Any, exponent: int) -> Any:
    """mantissa x 10**exponent in float64, and whether its float32 is certain."""
    if not -60 <= exponent <= 60:
        return 0.0, False
    wide = np.float64(mantissa)
    value = wide / _POWERS[-exponent] if exponent < 0 else wide * _POWERS[exponent]
    normal = value == 0.0 or 1.2e-38 < value < 3.4e38
    if mantissa <= _U(1 << 53) and -_EXACT <= exponent <= _EXACT:
        return value, normal
    rest = np.float64(value).view(np.uint64) & _U((1 << 29) - 1)
    midpoint = _U(1 << 28)
    gap = rest - midpoint if rest > midpoint else midpoint - rest
    return value, normal and gap > _MARGIN


@_compile
def _short(first: Any, last: Any, width: int) -> Any:
    """A token of 1 to 16 characters, digits with at most one point among them: mantissa, decimals, and whether it is."""
    last ^= _ZEROS
    if width <= 8:
        first = _U(0)
        last &= _ALL << _U(64 - 8 * width)
    else:
        first = (first ^ _ZEROS) & (_ALL << _U(128 - 8 * width))
    mark_first = ((first + _BEYOND_NINE) | first) & _HIGH_BITS
    mark_last = ((last + _BEYOND_NINE) | last) & _HIGH_BITS
    decimals = 0
    if mark_first:
        place = mark_first >> _U(7)  # 1 in the byte of the point
        if mark_last or mark_first & (mark_first - _U(1)) or first & (place * _U(255)) != place * _POINT:
            return first, 0, False
        decimals = 15 - (np.int64(_lowest(place)) >> 3)
        below = place - _U(1)
        first = ((first & below) << _U(8)) | (first & ~(below | (place * _U(255))))
    elif mark_last:
        place = mark_last >> _U(7)
        if mark_last & (mark_last - _U(1)) or last & (place * _U(255)) != place * _POINT:
            return first, 0, False
        decimals = 7 - (np.int64(_lowest(place)) >> 3)
        below = place - _U(1)
        last = ((last & below) << _U(8)) | (last & ~(below | (place * _U(255)))) | (first >> _U(56))
        first <<= _U(8)
    sure = mark_first | mark_last == _U(0) or 0 < decimals < width - 1
    return _joined(first) * _U(100_000_000) + _joined(last), decimals, sure


@_compile
def _long(first: Any, second: Any, third: Any, width: int) -> Any:
    """A token of 17 to 24 characters whose second one is the point: mantissa, decimals, and whether it is."""
    shift = _U(192 - 8 * width)
    first = ((first ^ _ZEROS) & (_ALL << shift)) ^ ((_POINT << _U(8)) << shift)
    second ^= _ZEROS
    third ^= _ZEROS
    if width == 17:
        second ^= _POINT
    marks = (first + _BEYOND_NINE) | first | (second + _BEYOND_NINE) | second | (third + _BEYOND_NINE) | third
    lead = (first >> shift) & _U(255)
    head = _joined(first)
    mantissa = (head * _U(100_000_000) + _joined(second)) * _U(100_000_000) + _joined(third)
    sure = marks & _HIGH_BITS == _U(0) and head < _U(1800) and (lead == _U(0) or width < 20)
    if lead and sure:
        mantissa -= lead * _U(9) * _TENS[_U(width - 2)]
    return mantissa, width - 2, sure


@_compile
def _parts(text: Any, at: int, end: int, as_json: bool) -> Any:
    """Mantissa, exponent of ten and sign of the number ``text[at:end]``, blanks before it allowed, and whether it is one."""
    while at < end and text[_U(at)] == 32:
        at += 1
    negative = np.int64(text[_U(at)] == 45)
    at += negative
    if end - at > 1 and text[_U(at)] == 43 and not negative and not as_json:
        at += 1
    cut, power = end, 0
    if end - at > 4 and (text[_U(end - 4)] | 32) == 101:
        tens, ones = np.int64(text[_U(end - 2)]) - 48, np.int64(text[_U(end - 1)]) - 48
        sign = 44 - np.int64(text[_U(end - 3)])
        if not (0 <= tens <= 9 and 0 <= ones <= 9 and abs(sign) == 1):
            return _U(0), 0, 0, False
        cut, power = end - 4, sign * (10 * tens + ones)
    width = cut - at
    if not 0 < width <= 24 or (as_json and width > 1 and text[_U(at)] == 48 and text[_U(at + 1)] != 46):
        return _U(0), 0, 0, False
    if width <= 16:
        mantissa, decimals, sure = _short(_word(text, cut - 16), _word(text, cut - 8), width)
    elif text[_U(at + 1)] != 46:
        return _U(0), 0, 0, False
    else:
        words = (_word(text, cut - 24), _word(text, cut - 16), _word(text, cut - 8))
        mantissa, decimals, sure = _long(words[0], words[1], words[2], width)
    return mantissa, power - decimals, negative, sure


@_compile
def _token(text: Any, at: int, end: int, as_json: bool) -> Any:
    """The number of ``text[at:end]`` in float64, and whether its float32 is certain."""
    mantissa, exponent, negative, sure = _parts(text, at, end, as_json)
    if not sure:
        return 0.0, False
    value, sure = _scaled(mantissa, exponent)
    return value * _SIGNS[_U(negative)], sure


@_compile
def _before_point(text: Any, at: int) -> int:
    """How many characters of the token at ``at`` stand before its point, the sign not counted; from 1 to 7."""
    at += np.int64(text[_U(at)] == 45)
    count = 1
    while count < 7 and text[_U(at + count)] != 46:
        count += 1
    return count


@_compile
def _split(text: Any, start: int, stop: int, cuts: Any) -> int:
    """The places before and behind every token of ``text[start:stop]`` (commas, and its two ends) into ``cuts`` (int32).

    Returns how many tokens there are, or FULL where ``cuts`` does not hold them, one place more, and BLOCK to spare.
    """
    cuts[0] = start - 1
    count, at, room = 1, start, len(cuts) - BLOCK - 1
    while at < stop:
        commas = _U(0)
        if at + 64 <= len(text):
            commas = _commas(text, at)
        else:
            for k in range(stop - at):
                commas |= _U(text[_U(at + k)] == 44) << _U(k)
        if stop - at < 64:
            commas &= (_U(1) << _U(stop - at)) - _U(1)
        found = np.int64(_ones(commas))
        if count + found > room:
            return FULL
        for k in range(0, found, 4):  # four without asking; what is too much is written over
            for j in range(4):
                cuts[_U(count + k + j)] = at + np.int64(_lowest(commas))
                commas &= commas - _U(1)
        count += found
        at += 64
    cuts[_U(count)] = stop
    return count


@_compile
def parse(text: Any, start: int, stop: int, as_json: bool, out: Any) -> int:
    """Comma-separated numbers of ``text[start:stop]`` (uint8) into ``out`` (float32); returns how many there are.

    UNSURE where anything is not plain, FULL where ``out`` is too short; ``out`` then means nothing. ``start`` is at least
    ``fast.PADDING``, and ``stop`` lies inside the text. ``as_json`` keeps to the numbers of JSON (no ``+``, no ``01``).
    Blanks may follow a comma.
    """
    if stop >= LONGEST:
        return UNSURE
    cuts = np.empty(len(out) + 1 + BLOCK, np.int32)
    count = _split(text, start, stop, cuts)
    if count == FULL:
        return FULL
    done, whole = 0, 1
    while done < count:
        behind = min(done + 8, count)
        if behind == done + 8 and np.int64(cuts[_U(done + 7)]) + 25 <= len(text):
            longest = widest(cuts, done)
            plain = False  # until they are read, best with the point where it stood before
            if longest <= 8:
                plain = eight_of_8(text, cuts, done, whole, out)
            elif longest <= 16:
                plain = eight_of_16(text, cuts, done, whole, out)
            elif longest <= 24:
                plain = eight_of_24(text, cuts, done, whole, out)
            if not plain and longest <= 24:
                plain = eight_of_24(text, cuts, done, None, out)
            whole = _before_point(text, np.int64(cuts[_U(done + 7)]) + 1)
            if plain:
                done = behind
                continue
        for k in range(done, behind):
            value, sure = _token(text, np.int64(cuts[_U(k)]) + 1, np.int64(cuts[_U(k + 1)]), as_json)
            if not sure:
                return UNSURE
            out[_U(k)] = np.float32(value)
        done = behind
    return count


@_compile
def lines(text: Any, start: int, stop: int, width: int) -> int:
    """How many lines ``text[start:stop]`` (uint8, writable) has; their ends become commas.

    UNSURE where a line has another number of cells, parted by commas, than ``width``; the last line needs no end.
    """
    rows, cells, at = 1, 1, start
    while at < stop:
        if at + 64 <= len(text):
            commas, ends = _commas(text, at), _ends(text, at)
        else:
            commas = ends = _U(0)
            for k in range(stop - at):
                commas |= _U(text[_U(at + k)] == 44) << _U(k)
                ends |= _U(text[_U(at + k)] == 10) << _U(k)
        if stop - at < 64:
            inside = (_U(1) << _U(stop - at)) - _U(1)
            commas, ends = commas & inside, ends & inside
        while ends:
            below = (ends & (~ends + _U(1))) - _U(1)
            if cells + np.int64(_ones(commas & below)) != width:
                return UNSURE
            text[_U(at + np.int64(_lowest(ends)))] = 44
            rows, cells = rows + 1, 1
            commas &= ~below
            ends &= ends - _U(1)
        cells += np.int64(_ones(commas))
        at += 64
    return rows if cells == width else UNSURE


@_compile
def column(text: Any, start: int, stop: int, width: int, place: int, out: Any) -> int:
    """Every ``width``-th number of ``text[start:stop]`` from ``place`` on, exact in float64, into ``out``; else as ``parse``."""
    if stop >= LONGEST:
        return UNSURE
    cuts = np.empty(width * len(out) + 1 + BLOCK, np.int32)
    count = _split(text, start, stop, cuts)
    if count != width * len(out):
        return UNSURE
    for row in range(len(out)):
        k = row * width + place
        mantissa, exponent, negative, sure = _parts(text, np.int64(cuts[_U(k)]) + 1, np.int64(cuts[_U(k + 1)]), False)
        if not sure or mantissa > _U(1 << 53) or not -_EXACT <= exponent <= _EXACT:
            return UNSURE
        wide = np.float64(mantissa)
        value = wide / _POWERS[-exponent] if exponent < 0 else wide * _POWERS[exponent]
        out[_U(row)] = value * _SIGNS[_U(negative)]
    return len(out)
