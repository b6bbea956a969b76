"""The demo's outcome as plain data, for `--json`."""

from __future__ import annotations

from toolslot._demo._judge import CallReport
from toolslot._demo._run import DemoReport
from toolslot._demo._side import SideRun


def facts(report: DemoReport) -> dict[str, object]:
    """JSON-ready. Money is in cents, times are seconds since the demo began; no `problems`: promise kept."""
    return {
        "framework": report.framework.name,
        "promise_kept": not report.problems,
        "problems": list(report.problems),
        "seconds": round(report.seconds, 3),
        "plain": _side(report.plain),
        "durable": _side(report.durable),
    }


def _side(side: SideRun) -> dict[str, object]:
    report = side.report
    return {
        "killed_pid": side.killed_pid,
        "killed_at": round(side.killed_at, 3),
        "resumed_pid": side.resumed_pid,
        "ended_at": round(side.ended_at, 3),
        "payments": report.payments,
        "invoices": report.invoices,
        "cents_moved": report.moved,
        "cents_owed": report.owed,
        "repeats_refused_by_key": report.repeats_refused,
        "model_asked": report.model_asked,
        "calls": [_call(row) for row in report.rows],
    }


def _call(row: CallReport) -> dict[str, object]:
    return {
        "call_id": row.call.call_id,
        "tool": row.call.tool,
        "args": dict(row.call.args),
        "at_kill": row.at_kill.value,
        "journal_at_kill": row.before,
        "on_resume": row.action.value,
        "journal_after": row.after,
        "answers": [{"failed": answer.failed, "text": answer.text} for answer in row.answers],
        "times_entered": row.entered,
        "times_booked": row.booked,
    }
