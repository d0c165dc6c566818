"""Bearings by designation: number of balls, ball diameter, pitch diameter in mm, contact angle in degrees.

Inner geometry is no standard: makers differ. Listed are bearings whose dimensions a public data set states with its
measurements; for any other give the geometry or the fault frequencies of the maker's own sheet.
"""

from __future__ import annotations

BEARINGS: dict[str, tuple[int, float, float, float]] = {
    # Case Western Reserve University Bearing Data Center, bearing information: 0.3126 in on 1.537 in, and 0.2656 in on
    # 1.122 in; BPFI 5.4152 and 4.9469, BPFO 3.5848 and 3.0530 shaft orders
    "6205-2RS JEM SKF": (9, 7.940, 39.04, 0.0),
    "6205": (9, 7.940, 39.04, 0.0),
    "6203-2RS JEM SKF": (8, 6.746, 28.50, 0.0),
    "6203": (8, 6.746, 28.50, 0.0),
    # MFPT bearing fault data set (E. Bechhoefer): 8 elements of 0.235 in on 1.245 in; BPFO 81.125 Hz at 25 Hz
    "NICE": (8, 5.969, 31.62, 0.0),
    # XJTU-SY data set (B. Wang, Y. Lei, N. Li et al., IEEE Transactions on Reliability 69, 2020), table of the bearing
    "LDK UER204": (8, 7.92, 34.55, 0.0),
    # FEMTO-ST, PRONOSTIA (P. Nectoux et al., IEEE PHM 2012): 13 balls of 3.5 mm on 25.6 mm
    "6804RS": (13, 3.5, 25.6, 0.0),
    # IMS, University of Cincinnati, bearing data set: 16 rollers a row, 0.331 in on 2.815 in, 15.17 degrees
    "ZA-2115": (16, 8.407, 71.50, 15.17),
}
