"""What to do about each reason: the option or command that would take what was refused."""

from __future__ import annotations

WAYS = {
    "Q001": "--encoding gb18030 for a text in another encoding; else take a fresh copy of the file",
    "Q002": "mend the line that is named, or write the file again",
    "Q003": "leave one of the two out",
    "Q004": "mend the line that is named",
    "Q005": "--columns time=NAME,signal=NAME names columns, --channels PATTERN picks columns or variables",
    "Q006": "mend the number at its place",
    "Q007": "--repair interpolate:8 fills gaps of up to 8 samples",
    "Q008": "--window N cuts recordings into records of one length, --length N picks another one",
    "Q009": "part the file into records",
    "Q010": "--time-from PATTERN, --columns time=NAME, or --time-from none for times that mean nothing",
    "Q011": "--sensor-from PATTERN tells the sensors apart; --time-from none leaves times out",
    "Q012": "nothing: one of equal records stays",
    "Q013": "--channels PATTERN picks channels of one rate, --resample HZ brings all to one; leave out a wrong --fs",
    "Q014": "look at the sensor: it gives one value",
    "Q015": "look at the sensor: it gives zeros",
    "Q016": "a larger range of the sensor or the input",
    "Q018": "--unit g converts what is known, --unit unknown reads records without a unit",
    "Q019": "unpack the archive, or part it",
    "Q020": "check the path and the rights to read it",
    "Q021": "look at the gateway: it repeats an old block",
    "Q022": "look at the transmission: samples are missing",
}


def way_out(code: str, window: int) -> str:
    """The way out of a reason; ``window`` is one that all recordings could be cut into."""
    return WAYS.get(code, "").replace("--window N", f"--window {window}")
