"""apt-get's lines as a measure."""

from __future__ import annotations

from interpreter_tools.setup.apt import AptMeter

LINES = """\
Reading package lists...
Building dependency tree...
The following NEW packages will be installed:
  jq libjq1
0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.
Need to get 189 kB of archives.
Get:1 http://mirror.example/debian bookworm/main amd64 libjq1 amd64 1.6-2.1 [135 kB]
Get:2 http://mirror.example/debian bookworm/main amd64 jq amd64 1.6-2.1 [64.9 kB]
Preparing to unpack .../libjq1_1.6-2.1_amd64.deb ...
Unpacking libjq1:amd64 (1.6-2.1) ...
Unpacking jq (1.6-2.1) ...
Setting up libjq1:amd64 (1.6-2.1) ...
Setting up jq (1.6-2.1) ...
"""


def test_an_installation_goes_from_nothing_to_one():
    """Each package is fetched, unpacked and set up."""
    meter = AptMeter()
    steps = [step for line in LINES.splitlines() if (step := meter.feed(line))]
    assert [fraction for fraction, _ in steps] == [number / 6 for number in range(1, 7)]
    assert steps[0][1] == "Downloading libjq1"
    assert steps[-1][1] == "Setting up jq (1.6-2.1)"


def test_lines_before_the_counts_tell_nothing():
    """Fetching package lists looks the same, but is no part of the installation."""
    assert AptMeter().feed("Get:1 http://mirror.example/debian bookworm InRelease [151 kB]") is None
