"""Launchers, checks and benchmarks; nothing in mmc or brokers imports them."""
