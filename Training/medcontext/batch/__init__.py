"""Runs over many scans without a window: finding cases, reading, the ledger, exports, several machines.

Input is a folder, a glob, files or a manifest; each case ends as one row of the ledger, whatever becomes of it.
"""
