"""docs/wire.md says what the code does."""

from scripts.wire_reference import DOCUMENT, document


def test_the_wire_reference_is_that_of_the_code() -> None:
    """Every message, field and number of docs/wire.md is as declared (else: run the script)."""
    current = DOCUMENT.read_text(encoding="utf-8")
    assert current == document(current), "run: python -m scripts.wire_reference"
