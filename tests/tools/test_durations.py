"""The record of the longest tests."""

from tools.durations import by_file, summary

LOG = """
============================= slowest durations ==============================
2.50s call     tests/a.py::test_one[x y]
1.25s setup    tests/a.py::test_one[x y]
3.00s call     tests/b.py::test_two
0.50s teardown tests/b.py::test_two
1 failed, 3 passed in 12.00s
"""


def test_a_test_takes_what_its_fixtures_take() -> None:
    """A fixture that takes minutes is not seen, or its test is named twice."""
    assert summary(LOG) == [(3.75, "tests/a.py::test_one[x y]"), (3.5, "tests/b.py::test_two")]


def test_a_file_takes_what_its_tests_take() -> None:
    """The order of files is that of their longest tests."""
    assert by_file(LOG + "1.00s call     tests/b.py::test_three") == [(4.5, "tests/b.py"), (3.75, "tests/a.py")]
