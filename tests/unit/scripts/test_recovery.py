"""The stages that ``scripts/recovery`` looks for in the logs."""

import runpy
from pathlib import Path

_ROOT = Path(__file__).parents[3]


def test_every_stage_is_an_event_that_services_log() -> None:
    """An event that nobody logs would be shown as never reached."""
    script = runpy.run_path(str(_ROOT / "scripts" / "recovery"))
    source = "".join(path.read_text(encoding="utf-8") for path in (_ROOT / "mmc").rglob("*.py"))
    events = {event for event, _ in (*script["META_STAGES"], *script["RANK_STAGES"])}
    assert [event for event in sorted(events) if f'"{event}"' not in source] == []
