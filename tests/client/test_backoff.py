from hypothesis import given
from hypothesis import strategies as st

from sampan.client.backoff import Backoff


@given(st.floats(0.001, 1), st.floats(1, 60), st.integers(1, 20))
def test_delays_double_up_to_the_longest_and_are_spread_over_their_upper_half(
    first_s: float, longest_s: float, tries: int
) -> None:
    backoff = Backoff(first_s, longest_s)
    for number in range(tries):
        whole_s = min(first_s * 2**number, longest_s)
        assert whole_s / 2 <= backoff.next_s() <= whole_s
    backoff.reset()
    assert backoff.next_s() <= first_s
