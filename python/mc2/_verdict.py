"""Verdicts: checks of evidence and links of receipts, for people and for notebooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

NOT_SECURE = "NOT SECURE: a simulated enclave; its evidence proves nothing"
_MARKS = {"passed": "ok", "failed": "FAIL", "not-reached": "-"}


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, and what it expected and found."""

    #: A stable name, for programs.
    id: str
    #: What was looked at.
    what: str
    #: `passed`, `failed`, or `not-reached` where an earlier one failed.
    outcome: str
    expected: str
    found: str
    #: What to do about it; empty where it passed.
    advice: str

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    def __str__(self) -> str:
        if self.passed:
            return f"{self.what}: {self.found}"
        if self.outcome == "failed":
            return f"{self.what}: expected {self.expected}, found {self.found}; {self.advice}"
        return f"{self.what}: not reached"


@dataclass(frozen=True)
class Verdict:
    """Every check in order, and whether all passed."""

    accepted: bool
    checks: list[Check]
    #: Whether there was no enclave at all.
    simulated: bool = False
    #: What else is to be said.
    lines: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.accepted

    def __str__(self) -> str:
        lines = [NOT_SECURE] if self.simulated else []
        lines.append("accepted" if self.accepted else "REFUSED")
        lines += [f"  {_MARKS[check.outcome]:<4}  {check}" for check in self.checks]
        return "\n".join(lines + self.lines)

    def __repr__(self) -> str:
        passed = sum(check.passed for check in self.checks)
        verdict = "accepted" if self.accepted else "REFUSED"
        simulated = ", NOT SECURE" if self.simulated else ""
        return f"<mc2.Verdict {verdict}: {passed} of {len(self.checks)} checks passed{simulated}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{_MARKS[check.outcome]}</td><td>{escape(check.what)}</td>"
            f"<td>{escape(check.expected)}</td><td>{escape(check.found)}</td>"
            f"<td>{escape(check.advice)}</td></tr>"
            for check in self.checks
        )
        warning = f"<p><strong>{NOT_SECURE}</strong></p>" if self.simulated else ""
        verdict = "accepted" if self.accepted else "REFUSED"
        more = "".join(f"<br>{escape(line)}" for line in self.lines)
        return (
            f"{warning}<table><caption>{verdict}{more}</caption><thead><tr><th></th><th>check</th>"
            f"<th>expected</th><th>found</th><th>to do</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


def _checks(told: list[dict[str, str]]) -> list[Check]:
    return [Check(**check) for check in told]


class Receipt:
    """The receipt of a run: what ran where on what, signed in the enclave."""

    def __init__(self, report: dict[str, Any]) -> None:
        #: Where it is kept.
        self.path: str = report["receipt"]
        self.status: str = report["status"]
        self.job: str = report["job"]
        self.session: str = report["session"]
        self.policy: str = report["policy"]
        #: SHA-256 of the component that ran.
        self.component: str = report["component"]
        self.simulated: bool = report["simulated"]
        #: What each step used, as far as you may see it.
        self.usage: list[dict[str, Any]] = report["usage"]
        #: The links that were followed when the result came.
        self.verdict = Verdict(True, _checks(report["verification"]), self.simulated)

    def verify(self) -> Verdict:
        """Follows it again, from its file, back to the evidence: what `mc2 verify` does.

        Raises `ResultTampered` where a link does not hold.
        """
        from ._files import verify

        return verify(self.path, allow_simulated=self.simulated)

    def __repr__(self) -> str:
        simulated = ", NOT SECURE" if self.simulated else ""
        return f"<mc2.Receipt of job {self.job[:16]}…: {self.status}{simulated}>"

    def _repr_html_(self) -> str:
        told = {
            "job": self.job,
            "status": self.status,
            "session": self.session,
            "policy": self.policy,
            "component": self.component,
            "kept in": self.path,
        }
        rows = "".join(
            f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in told.items()
        )
        warning = f"<p><strong>{NOT_SECURE}</strong></p>" if self.simulated else ""
        return f"{warning}<table><caption>receipt</caption>{rows}</table>"
