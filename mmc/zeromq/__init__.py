"""The thin runtime: sockets, clock and threads around the actors.  The only importer of zmq."""
