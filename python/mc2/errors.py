"""What can go wrong, one class a cause.

Every error says what was `expected`, what was `found`, and what `to_do` about it; its text is what
`mc2` and `mc2-run` print. `checks` are the checks that failed, where checks did.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._verdict import Check, Receipt, Verdict


class Error(Exception):
    """Anything that keeps a call from its result."""

    #: What would have been good.
    expected: str = "a call that ends with a verified result"
    #: What there was.
    found: str
    #: What to do about it.
    to_do: str = "read the message; where it says nothing to do, report it"
    #: The checks that failed, where it is about checks.
    checks: list[Check]
    #: Whose approval or key is missing, where it is about those: names of the policy's parties.
    whose: list[str]

    def __init__(self, words: str = "", checks: list[Check] | None = None) -> None:
        super().__init__(words)
        self.found = words
        self.checks = checks or []
        self.whose = []
        for check in self.checks:
            if check.outcome == "failed":
                self.expected, self.found, self.to_do = check.expected, check.found, check.advice
                break


class InputError(Error, ValueError):
    """An argument, a file or a table that cannot be used."""

    expected = "arguments, files and tables as the documentation says"
    to_do = "correct what the message names"


class ComponentError(Error):
    """A file that is no component, or imports what the sandbox does not have."""

    expected = "a WebAssembly component of the world wasi:cli/command"
    to_do = "build it for wasm32-wasip2"


class PolicyRefused(Error):
    """A policy that is not valid, or does not allow this."""

    expected = "a policy that allows what is asked for"
    to_do = "ask for what it allows, or write another that every party approves anew"


class ApprovalMissing(PolicyRefused):
    """Somebody has not approved yet; the message says who, and `whose` has their names."""

    expected = "the approvals that the policy demands"
    to_do = "have those whom the message names approve"


class AttestationRefused(Error):
    """Evidence that did not pass: nothing was given to that enclave."""

    expected = "evidence that passes every check"
    to_do = "give nothing to this enclave until you know why it was refused"


class KeyMissing(Error):
    """A key that is not here; of another party's, `whose` has their names."""

    expected = "the key of the sealed data, or the identity that it was sealed for"
    to_do = "connect as that identity, or seal the data again; another party releases its own"


class HostUnreachable(Error):
    """No host at the address, or none that answers."""

    expected = "a host that answers at the address"
    to_do = "see that the address is right and that mc2-host runs there"


class RuntimeFailed(Error):
    """The runtime did not start, or went away."""

    expected = "a runtime that starts and stays"
    to_do = "connect again; where it happens again, look at what the host logs"


class GuestFailed(Error):
    """The component ran and failed; the message has its own words where it left any.

    `reason` is a word for programs, `stdout` and `stderr` what it wrote, `receipt` the receipt of the
    run that failed.
    """

    expected = "a component that ends with exit code 0"
    to_do = "read its words; a query's error says where in the query"

    reason: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    receipt: Receipt | None = None


class LimitExceeded(GuestFailed):
    """The component needed more than it may use: memory, time, outputs or scratch."""

    expected = "a component that gets by with its limits"
    to_do = "give it more: memory=\"8GiB\", timeout=\"2h\""


class ResultTampered(Error):
    """A result, a receipt or an answer that is not what it must be: it is not believed."""

    expected = "a receipt that verifies back to its evidence"
    to_do = "do not use the result; get it again"

    #: Every link of the receipt, where one was followed.
    verdict: Verdict | None = None


class DataTampered(Error):
    """Sealed data that was altered or cut off, or whose key is another's."""

    expected = "sealed data as it was sealed"
    to_do = "seal and store it again; the host altered it, or lost a part"


class CannotWrite(Error):
    """A result that could not be written."""

    expected = "a place that can be written to"
    to_do = "make the folder, or room"


class StateBroken(Error):
    """The state folder cannot be used, or its ledger is broken."""

    expected = "a state folder that is yours alone"
    to_do = "see what the message says of $MC2_HOME"


class Stopped(Error):
    """The call was stopped."""

    expected = "a call that nobody stops"
    to_do = "call again"


class Failed(Error):
    """Anything else: the host or the enclave refused."""


#: Options of the command line that messages name, and what they are called here.
_KEYWORDS = [
    (r"--(in|out) (\S+?)(=…)?:", r"\1put \2:"),
    (r"--(in|out) (\S+=)", r"\1puts: \2"),
    (r"--(in|out)\b", r"\1puts"),
    (r"--as\b", "identity="),
    (r"--allow-simulated\b", "allow_simulated=True"),
    (r"--component\b", "components="),
    (
        r"--(policy-digest|policy|host-ca|host|tee|session|wait|job|memory|timeout|instances|collateral)\b",
        lambda found: found[1].replace("-", "_") + "=",
    ),
]


def _made(kind: str, words: str, failed: str = "[]", whose: list[str] | None = None) -> Error:
    import re

    from ._verdict import Check

    for option, keyword in _KEYWORDS:
        words = re.sub(option, keyword, words)
    made: Any = globals()[kind]
    error: Error = made(words, [Check(**check) for check in json.loads(failed)])
    error.whose = whose or []
    return error


#: How a run's end is called in the native half, and the class of an error for it.
_OF_CAUSE = {
    "MemoryLimit": LimitExceeded,
    "TimeLimit": LimitExceeded,
    "OutputLimit": LimitExceeded,
    "OtherLimit": LimitExceeded,
}


def _of_run(report: dict[str, Any], stdout: bytes, stderr: bytes) -> Error:
    """The error of a run that ended badly; its receipt was verified."""
    from ._verdict import Receipt

    words = report["message"] or "the workload failed"
    cause = report["cause"]
    if cause == "DataTampered":
        return DataTampered(words)
    if cause == "RuntimeFailed":
        return RuntimeFailed(words)
    error = _OF_CAUSE.get(cause, GuestFailed)(words)
    error.reason = report["reason"]
    error.stdout, error.stderr = stdout, stderr
    error.receipt = Receipt(report)
    return error
