"""Searches: what is asked, what attributes can be compared with, and what a search comes to."""
