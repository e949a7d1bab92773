import pytest

from sampan.api.tables.duration import human, since

M, H, D = 60, 3600, 86400
Y = 365 * D


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2.5, "<invalid>"),
        (-1.5, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (3 * M + 20, "3m20s"),
        (10 * M - 1, "9m59s"),
        (10 * M + 30, "10m"),
        (3 * H - 1, "179m"),
        (3 * H, "3h"),
        (5 * H + 12 * M, "5h12m"),
        (8 * H, "8h"),
        (47 * H, "47h"),
        (48 * H, "2d"),
        (3 * D + 4 * H, "3d4h"),
        (8 * D + 4 * H, "8d"),
        (729 * D, "729d"),
        (2 * Y, "2y"),
        (2 * Y + 30 * D, "2y30d"),
        (8 * Y + 30 * D, "8y"),
    ],
)
def test_human(seconds, text):
    assert human(seconds) == text


def test_since():
    assert since("2025-01-01T00:00:00Z", 1735689600.0 + 90) == "90s"
    assert since("2025-01-01T00:00:00.500000Z", 1735689600.0 + 90) == "89s"
    assert since(None, 0) == since("", 0) == since("rubbish", 0) == "<unknown>"
