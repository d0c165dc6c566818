"""Words by which files of many makers call the same thing: sampling rate, time, units, speed; English, German, Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RATES = _words(
    """fs sr sf ratehz samplerate samplingrate samplefrequency samplingfrequency sampfreq samplespersecond
    abtastrate abtastfrequenz 采样率 采样频率"""
)
STEPS = _words(
    """dt deltat deltax xaxisdelta sampleinterval samplinginterval sampleperiod samplingperiod abtastintervall
    采样间隔 采样周期"""
)
SENSORS = _words("sensor sensorid sensorname 传感器")
SIGNALS = _words("source signalname channelname tracename 通道名称")
MACHINES = _words("machine machineid machinename 设备 机器")
STARTS = _words("start starttime startdate datetime timestamp recordedat recorded acquired 开始时间 采集时间 起始时间")
DATES = _words("date datum 日期")
CLOCKS = _words("time zeit uhrzeit 时间")
UNITS = _words("unit units yunit yaxisunit yunitlabel verticalunits einheit 单位")
TIMES = _words(
    """time t timestamp datetime date timedate times zeit zeitstempel datum xvalue elapsed elapsedtime xaxis xachse
    temps tiempo tempo tijd время 时间 时刻 日期 日期时间 時間"""
)
COUNTS = _words("index idx n no number sample samples sampleno samplenumber samplenr unnamed0 nr 序号 编号")
RECORDS = _words("recordid sensorid machineid source recording row datatime")  # columns of vibro's own tables
LABELS = _words("label labels class anomaly changepoint target faulttype split fold 标签 类别")
_SPEEDS = _words("rpm speed speedrpm shaftspeed rotationalspeed drehzahl 转速")
_LOADS = _words("load 负载 负荷")
_SECONDS = {
    name: size
    for size, names in (
        (1.0, "s sec secs second seconds 秒"),
        (1e-3, "ms msec millisecond milliseconds 毫秒"),
        (1e-6, "us µs μs usec microsecond microseconds 微秒"),
        (1e-9, "ns"),
        (60.0, "min"),
        (3600.0, "h"),
    )
    for name in names.split()
}
_HERTZ = {"": 1.0, "hz": 1.0, "sps": 1.0, "s/s": 1.0, "1/s": 1.0, "khz": 1e3, "ks/s": 1e3, "ksps": 1e3, "mhz": 1e6}
_QUANTITIES = _words(
    """g mg gn grms m/s2 m/s^2 m/s² m/s**2 m/s/s ms-2 m·s-2 mm/s2 mm/s^2 mm/s² in/s2 in/s^2 in/s² mm/s m/s cm/s in/s ips
    um µm μm mm cm m mil mils in v mv uv µv volt volts a ma amp ampere pa kpa mpa bar psi n kn nm n·m hz khz rpm 1/min
    r/min °c c degc k °f % db deg ° rad kw w count counts adc lsb"""
)
_UNIT = re.compile(r"^(.*?)\s*[(\[（【]([^()\[\]（）【】]*)[)\]）】]\s*$")
_NUMBER = re.compile(r"\s*([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([^\d\s].*)?", re.ASCII)


@lru_cache(maxsize=1024)
def plain(name: str) -> str:
    """A name in lower case without blanks, marks and dots, as the sets above hold them."""
    return re.sub(r"[\s_\-.:#]+", "", name.strip().lower())


def is_unit(text: str) -> bool:
    """Whether a text is how a physical unit, or one of time, is written."""
    text = text.strip().lower()
    return text in _QUANTITIES or text in _SECONDS


@lru_cache(maxsize=1024)
def parted(name: str) -> tuple[str, str]:
    """A column's name and its unit: ``acc_x (m/s2)`` and ``t [ms]`` have one, ``Channel (left)`` has not."""
    match = _UNIT.match(name)
    if match and is_unit(match[2]) and match[1]:
        return match[1], match[2].strip()
    head, comma, tail = name.rpartition(",")
    if comma and head.strip() and is_unit(tail):
        return head.strip(), tail.strip()
    return name.strip(), ""


def seconds(unit: str) -> float:
    """What one of a unit of time is in seconds; 0 for anything else."""
    return _SECONDS.get(unit.strip().lower(), 0.0)


@lru_cache(maxsize=1024)
def time_column(name: str) -> tuple[bool, str]:
    """Whether a column is named like a time axis, and its unit where the name says it (``time_ms``)."""
    head, unit = parted(name)
    if plain(head) in TIMES and not (unit and not seconds(unit)):
        return True, unit
    stem, mark, tail = head.strip().rpartition("_")
    return bool(mark and plain(stem) in TIMES and seconds(tail)), tail if mark else ""


def rate(table: Mapping[str, object]) -> float:
    """A sampling rate in Hz among named values (``fs: 25600``, ``dt``, ``Sampling rate: 25.6 kHz``); 0 = none."""
    for name, value in table.items():
        head, said = parted(name)
        key = plain(head)
        match = _NUMBER.fullmatch(str(value).replace(",", ".") if isinstance(value, str) else repr(value))
        if match is None or key not in RATES | STEPS:
            continue
        number, unit = float(match[1]), (match[2] or said).strip().lower()
        if number > 0 and key in RATES and unit in _HERTZ:
            return number * _HERTZ[unit]
        if number > 0 and key in STEPS and (not unit or seconds(unit)):
            return rounded_rate(number * (seconds(unit) or 1.0))
    return 0.0


def rounded_rate(step: float, slack: float = 1e-10) -> float:
    """1 / step, as the whole or short number that it is meant to be where they differ by no more than ``slack`` of it."""
    rate = 1.0 / step
    return next((r for r in (round(rate, k) for k in range(-3, 4)) if r and abs(r - rate) <= slack * rate), rate)


def word(table: Mapping[str, str], names: Iterable[str]) -> str:
    """The value of the first of these names that a table of named texts holds; empty where it holds none."""
    return next((value.strip() for name, value in table.items() if plain(name) in names and value.strip()), "")


@lru_cache(maxsize=1024)
def covariate(name: str) -> str:
    """``speed`` or ``load`` where a variable or column is named so (``X097RPM``, ``speed_rpm``), else nothing."""
    key = plain(name)
    key = key if key in _SPEEDS | _LOADS else re.sub(r"^[a-z]*\d+", "", key)
    return "speed" if key in _SPEEDS else "load" if key in _LOADS else ""
