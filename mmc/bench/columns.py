"""Who is measured: this cache, the floors, and the peers, by the names that the table shows."""

from __future__ import annotations

OURS = "mmc"
MEMMOVE = "memmove"
BARE = "bare"
SOCKET = "socket"
FLOORS = (MEMMOVE, BARE, SOCKET)
FAR = "mmc over TCP"
"""This cache as a client of another host has it; its figures stand in our column of the rows of that."""
REDIS = "redis"
MEMCACHED = "memcached"
MOONCAKE = "mooncake"
MOONCAKE_TCP = "mooncake-tcp"
MOONCAKE_SHM = "mooncake-shm"
PEERS = (REDIS, MEMCACHED, MOONCAKE, MOONCAKE_TCP, MOONCAKE_SHM)
COLUMNS = (OURS, *FLOORS, *PEERS)
