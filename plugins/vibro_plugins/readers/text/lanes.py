"""Eight decimal numbers read side by side: vector code that LLVM turns into the instructions of the processor at hand.

A token is loaded from its first digit on into one to three 64-bit words; what lies behind its end becomes zero, so that
every token counts as many decimals as its words can hold, and one constant power of ten serves for each place of the
point. Pairs of digits, then of pairs, then of fours are joined by multiplications in lanes of 16, 32 and 64 bits (W. Muła,
"SIMD-ized atoi", 2014).

numba keeps what it compiled under the date of ``digits.py`` alone: after a change here that file must be touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 8
_MARGIN = 16  # units of the last place of float64 within which a rounding to float32 counts as open
_I1, _I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
_POINT = ord(".") ^ ord("0")
_NARROW, _WIDE = ir.FloatType(), ir.DoubleType()


def _all(kind: Any, value: float, lanes: int = LANES) -> Any:
    """The same value in all lanes."""
    return ir.Constant(ir.VectorType(kind, lanes), [value] * lanes)


def _bytes(value: int) -> Any:
    return _all(_I64, value * 0x0101010101010101)


def _at(builder: Any, data: Any, index: Any, kind: Any, align: int) -> Any:
    """A value of another kind loaded from an array's memory."""
    found = builder.load(builder.bitcast(builder.gep(data, [index]), kind.as_pointer()))
    found.align = align
    return found


def _call(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    """A function that LLVM itself knows."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, args)


def _data(context: Any, builder: Any, signature: Any, args: Any, i: int) -> Any:
    return context.make_array(signature.args[i])(context, builder, args[i]).data


def _widths(builder: Any, cuts: Any, first: Any) -> Any:
    """Characters between each of eight cuts and the next."""
    places = ir.VectorType(_I32, LANES)
    before = _at(builder, cuts, first, places, 4)
    behind = _at(builder, cuts, builder.add(first, ir.Constant(_I64, 1)), places, 4)
    return builder.sub(builder.sub(behind, before), _all(_I32, 1))


@intrinsic
def widest(typingctx: Any, cuts: Any, first: Any) -> Any:
    """Characters of the longest of the eight tokens between ``cuts[first]`` and ``cuts[first + 8]`` (int32)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = _widths(builder, _data(context, builder, signature, args, 0), args[1])
        return builder.zext(_call(builder, f"llvm.vector.reduce.umax.v{LANES}i32", _I32, [found]), _I64)

    return types.int64(cuts, first), codegen


def _splat(builder: Any, value: Any) -> Any:
    """A scalar in all lanes."""
    found = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    found = builder.insert_element(found, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(found, found, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _words(builder: Any, text: Any, cuts: Any, first: Any, words: int) -> tuple[list[Any], Any]:
    """The words of eight tokens from their first digit on, and which of the tokens are negative."""
    found = [ir.Constant(ir.VectorType(_I64, LANES), ir.Undefined) for _ in range(words)]
    for lane in range(LANES):
        place = builder.add(first, ir.Constant(_I64, lane))
        start = builder.sext(_at(builder, cuts, place, _I32, 4), _I64)
        for i in range(words):
            word = _at(builder, text, builder.add(start, ir.Constant(_I64, 1 + 8 * i)), _I64, 1)
            found[i] = builder.insert_element(found[i], word, ir.Constant(_I32, lane))
    negative = builder.icmp_unsigned("==", builder.and_(found[0], _all(_I64, 0xFF)), _all(_I64, ord("-")))
    for i in range(words):
        moved = builder.lshr(found[i], _all(_I64, 8))
        if i + 1 < words:
            moved = builder.or_(moved, builder.shl(found[i + 1], _all(_I64, 56)))
        found[i] = builder.select(negative, moved, found[i])
    return found, negative


def _digits(builder: Any, word: Any, width: Any, i: int) -> Any:
    """Values of the characters of word ``i`` as digits, zero behind the end of the token."""
    bits = builder.mul(width, _all(_I64, 8))
    if i:
        inside = builder.icmp_unsigned(">", bits, _all(_I64, 64 * i))
        bits = builder.select(inside, builder.sub(bits, _all(_I64, 64 * i)), _all(_I64, 0))
    whole = builder.icmp_unsigned(">=", bits, _all(_I64, 64))
    behind = builder.shl(_all(_I64, -1), builder.and_(bits, _all(_I64, 63)))
    kept = builder.select(whole, _all(_I64, -1), builder.not_(behind))
    return builder.and_(builder.xor(word, _bytes(ord("0"))), kept)


def _marks(builder: Any, digits: Any) -> Any:
    """The high bit of every byte above nine."""
    return builder.and_(builder.or_(builder.add(digits, _bytes(0x76)), digits), _bytes(0x80))


def _joined(builder: Any, digits: Any) -> Any:
    """Eight digits a lane as one integer of 32 bits."""
    found = digits
    for kind, lanes, half, weight in ((_I16, 32, 8, 10), (_I32, 16, 16, 100), (_I64, 8, 32, 10_000)):
        found = builder.bitcast(found, ir.VectorType(kind, lanes))
        upper = builder.and_(found, _all(kind, (1 << half) - 1, lanes))
        lower = builder.lshr(found, _all(kind, half, lanes))
        found = builder.add(builder.mul(upper, _all(kind, weight, lanes)), lower)
    return builder.trunc(found, ir.VectorType(_I32, LANES))


def _power(builder: Any, base: float, exponent: Any, kind: Any) -> Any:
    """``base`` times ten to a power of 0 to 7."""
    found = _all(kind, base)
    for bit in (1, 2, 4):
        is_set = builder.icmp_unsigned("!=", builder.and_(exponent, _all(_I32, bit)), _all(_I32, 0))
        found = builder.select(is_set, builder.fmul(found, _all(kind, 10.0**bit)), found)
    return found


def _narrow(builder: Any, integers: list[Any], whole: Any) -> tuple[Any, Any]:
    """Seven digits, so many of them before the point, as float32, which is certain.

    Both numbers of the division are exact in float32, so one rounding gives what two would that go by way of float64
    (S. Figueroa, "When is double rounding innocuous?", 1995).
    """
    exponent = builder.sub(_all(_I32, 7), whole)
    power = _power(builder, 1.0, exponent, _NARROW)
    return builder.fdiv(builder.sitofp(integers[0], power.type), power), _all(_I1, 1)


def _wide(builder: Any, integers: list[Any], whole: Any) -> tuple[Any, Any]:
    """The same with one or two times eight digits more, and where the rounding by way of float64 is certain."""
    scale = _power(builder, 1e-15, whole, _WIDE)
    weighted = [
        builder.fmul(builder.sitofp(part, scale.type), _all(_WIDE, weight))
        for part, weight in zip(integers, (1e8, 1.0, 1e-8), strict=False)
    ]
    value = builder.fadd(*weighted[:2])
    if len(weighted) > 2:
        value = builder.fadd(value, weighted[2])
    value = builder.fmul(value, scale)
    return builder.fptrunc(value, ir.VectorType(_NARROW, LANES)), _certain(builder, value)


def _certain(builder: Any, value: Any) -> Any:
    """Whether a float64 lies far from every midpoint of two float32 values."""
    rest = builder.and_(builder.bitcast(value, ir.VectorType(_I64, LANES)), _all(_I64, (1 << 29) - 1))
    gap = builder.sub(rest, _all(_I64, (1 << 28) - _MARGIN))
    return builder.icmp_unsigned(">", gap, _all(_I64, 2 * _MARGIN))


def _given(builder: Any, digits: Any, whole: Any) -> tuple[Any, Any, Any, Any]:
    """The point behind ``whole`` digits (1 to 7) in every lane: that number in all lanes, the bytes before the point, the
    byte of the point, and what is odd about the digits."""
    place = builder.shl(ir.Constant(_I64, 1), builder.shl(whole, ir.Constant(_I64, 3)))
    byte = builder.sub(builder.shl(place, ir.Constant(_I64, 8)), place)
    point = _splat(builder, builder.mul(place, ir.Constant(_I64, _POINT)))
    before = _splat(builder, builder.sub(place, ir.Constant(_I64, 1)))
    byte = _splat(builder, byte)
    pure = builder.xor(digits, point)
    return _splat(builder, whole), before, byte, builder.or_(_marks(builder, pure), builder.and_(pure, byte))


def _found(builder: Any, digits: Any, width: Any) -> tuple[Any, Any, Any, Any]:
    """The same with the point looked for in each lane; a number of up to seven digits may go without."""
    mark = _marks(builder, digits)
    place = builder.lshr(mark, _all(_I64, 7))
    byte = builder.sub(builder.shl(place, _all(_I64, 8)), place)
    point = builder.mul(place, _all(_I64, _POINT))
    before = builder.sub(place, _all(_I64, 1))
    zeros = _call(builder, f"llvm.cttz.v{LANES}i64", mark.type, [mark, ir.Constant(_I1, 0)])
    found = builder.lshr(zeros, _all(_I64, 3))
    whole = builder.select(builder.icmp_unsigned("<", found, width), found, width)
    several = builder.and_(mark, builder.sub(mark, _all(_I64, 1)))
    return whole, before, byte, builder.or_(several, builder.xor(builder.and_(digits, byte), point))


def _reader(words: int) -> Callable[..., Any]:
    def eight(typingctx: Any, text: Any, cuts: Any, first: Any, whole: Any, out: Any) -> Any:
        """Eight tokens of at most ``8 * words`` characters, their sign included, into ``out[first:first + 8]`` (float32).

        False, and ``out`` then means nothing, unless each is a decimal number without exponent, ``+``, blank or needless
        zero in front, its point behind ``whole`` digits (an int64 from 1 to 7; None: behind one to seven, in each its
        own), and its rounding certain.
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = [_data(context, builder, signature, args, i) for i in (0, 1, 4)]
            loaded, negative = _words(builder, data[0], data[1], args[2], words)
            sign = builder.zext(negative, loaded[0].type)
            width = builder.sub(builder.zext(_widths(builder, data[1], args[2]), sign.type), sign)
            digits = [_digits(builder, word, width, i) for i, word in enumerate(loaded)]
            zero, one = _all(_I64, 0), _all(_I64, 1)
            if isinstance(whole, types.Integer):
                whole_, before, byte, odd = _given(builder, digits[0], args[3])
                ends = builder.icmp_unsigned(">", width, builder.add(whole_, one))
            else:
                whole_, before, byte, odd = _found(builder, digits[0], width)
                ends = builder.icmp_unsigned("!=", width, builder.add(whole_, one))
                ends = builder.and_(ends, builder.icmp_unsigned("<", builder.sub(whole_, one), _all(_I64, 7)))
            for more in digits[1:]:
                odd = builder.or_(odd, _marks(builder, more))
            plain = builder.and_(ends, builder.icmp_unsigned("==", odd, zero))
            leading = builder.icmp_unsigned("!=", builder.and_(digits[0], _all(_I64, 0xFF)), zero)
            plain = builder.and_(plain, builder.or_(leading, builder.icmp_unsigned("==", whole_, one)))

            head = builder.shl(builder.and_(digits[0], before), _all(_I64, 8))
            rest = builder.and_(digits[0], builder.not_(builder.or_(before, byte)))
            integers = [_joined(builder, part) for part in (builder.or_(head, rest), *digits[1:])]
            whole_ = builder.trunc(whole_, integers[0].type)
            value, certain = (_narrow if words == 1 else _wide)(builder, integers, whole_)
            plain = builder.and_(plain, certain)
            signs = builder.shl(builder.zext(negative, whole_.type), _all(_I32, 31))
            value = builder.bitcast(builder.xor(builder.bitcast(value, signs.type), signs), value.type)
            target = builder.bitcast(builder.gep(data[2], [args[2]]), value.type.as_pointer())
            builder.store(value, target, align=4)
            return builder.icmp_unsigned("==", builder.bitcast(plain, _I8), ir.Constant(_I8, 0xFF))

        return types.boolean(text, cuts, first, whole, out), codegen

    return intrinsic(eight)


eight_of_8 = _reader(1)
eight_of_16 = _reader(2)
eight_of_24 = _reader(3)
