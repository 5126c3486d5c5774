"""Loops for single ops: reductions, scans, lookups, copies, random numbers, of any rank and strides."""
