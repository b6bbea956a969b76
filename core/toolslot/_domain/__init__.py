"""The rules, pure: records, identity, policies, the planner, and the verbs and the port of the journal."""

from __future__ import annotations
