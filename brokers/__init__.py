"""The brokers: a ROUTER/DEALER front for requests, an XSUB/XPUB hub for events.

They look into no message and hold no truth: killed and started again, they cost their users a retry.
"""
