"""Revisions in object storage, and a history that says which was live when, and why.

A store is a folder or an S3 bucket. What is written there is never changed but for the head of the
history, which moves by compare-and-swap: no database is needed, and writers need no lock.
"""
