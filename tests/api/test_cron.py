import pytest

from sampan.api import cron


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "*/5 0-23/2 1,15 jan-MAR mon-fri",
        "5/15 ? ? * 0",
        "@hourly",
        "@every 1h30m",
        "0 0 31 12 6",
    ],
)
def test_schedules(text):
    cron.check(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("*/5...", "expected exactly 5 fields, found 1: [*/5...]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
    ],
)
def test_what_is_none(text, sentence):
    with pytest.raises(cron.BadSchedule) as caught:
        cron.check(text)
    assert str(caught.value) == sentence
