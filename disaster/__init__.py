"""Backup, restore and their drill: registry, accounts and what a cluster alone knows.

A backup is a manifest that names its parts by digest. It is written last, so that a backup that was
killed is none.
"""
