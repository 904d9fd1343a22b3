"""Frozen values that client and server share."""
