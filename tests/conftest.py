"""How hypothesis searches: the same examples for everybody, unless a longer search is asked for.

``pytest --hypothesis-profile=search`` draws new examples, and many more of them.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "checked",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    stateful_step_count=40,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search",
    deadline=None,
    max_examples=2000,
    stateful_step_count=100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("checked")
