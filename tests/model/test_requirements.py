from paecli.model.requirements import require_rate, typed_rate


def test_the_smallest_rate_that_is_named_is_accepted() -> None:
    for count in range(1, 3000):
        named = float(typed_rate(1 / (count + 1)))
        require_rate(named, count)
        assert named < 1.1 / (count + 1)
