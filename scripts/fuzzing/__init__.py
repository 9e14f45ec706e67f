"""Fuzzing: targets of tests/fuzz under a coverage-guided fuzzer, and real services under hostile peers."""
