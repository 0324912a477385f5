"""Whole tasks, from files to files: what the command line, the worker and :mod:`medcontext.api` share."""
