"""Uploads: files and arrays as what is sent, and what becomes of it."""
