"""The wire: messages, their encoding, sequence windows and topics.  Pure: no I/O, no clock."""
