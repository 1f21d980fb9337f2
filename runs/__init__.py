"""Durable runs: journaled replay, waitpoints, alarms, resume and cancel on plain SQL."""
