"""``mmc bench``: this cache, the floors that no cache can pass, and other stores, measured in one run."""
