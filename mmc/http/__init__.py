"""REST and metrics of a cluster, for monitors and people: a client like any other, with routes in front."""
